"""What is done with every image of a batch, and what became of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_graysam import outputs, pipeline
from napari_graysam.batch.naming import Naming
from napari_graysam.files.labels import labels_and_notes
from napari_graysam.fingerprint import array_digest
from napari_graysam.model import CATALOG
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.source.gray import GrayImage
from napari_graysam.source.reading import read_image

if TYPE_CHECKING:
    from napari_graysam.propose.cache import Cache


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Attributes
    ----------
    path
        The image.
    status
        ``done``; ``skipped`` where the very result was there already; ``failed``.
    error
        Why it failed, in one message; empty otherwise.
    trace
        The traceback of an error that nobody foresaw; empty otherwise.
    objects
        Number of objects; of a comparison, of the preprocessed arm.
    unmasked
        Fraction of the image outside all objects.
    seconds
        Time from reading to writing.
    files
        What was written, by kind.
    changes
        Number of changes of each class between the raw and the preprocessed arm.
    scores
        Scores of each arm against the ground truth, as plain values.
    notes
        What the user should know about how the result was made.
    name
        Beginning of the names of its results, below their folder; empty if that is not known.
    """

    path: Path
    status: Literal["done", "skipped", "failed"]
    error: str = ""
    trace: str = ""
    objects: int | None = None
    unmasked: float | None = None
    seconds: float = 0.0
    files: Mapping[str, Path] = field(default_factory=dict)
    changes: Mapping[str, int] | None = None
    scores: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Report:
    """How far a batch is: ``done`` of ``total`` images.

    ``outcome`` tells of an image that has just ended; ``step`` is the current stage of the image
    ``path`` where images run one after the other. ``note`` tells what holds up the whole batch.
    """

    done: int
    total: int
    path: Path | None = None
    step: Progress | None = None
    outcome: Outcome | None = None
    note: str = ""


class Job(Protocol):
    """What is done with every image of a batch; can be sent to another process.

    `complete` and `steps` are called on what `absolute` returns.
    """

    @property
    def recipe(self) -> Recipe:
        """Recipe of every image."""

    @property
    def folder(self) -> Path:
        """Where results go."""

    @property
    def naming(self) -> Naming:
        """How results are named."""

    @property
    def cache(self) -> Path | None:
        """Folder of candidates of earlier runs; None where every run asks the model."""

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """(Height, width) of a pixel in micrometres, in place of the files'."""

    def absolute(self) -> Job:
        """Return the same job with paths that mean the same in every process."""

    def read(self, path: Path) -> GrayImage:
        """Read an image."""

    def begun(self, path: Path) -> bool:
        """Tell whether there are results of the name of an image's, without reading it."""

    def complete(self, path: Path, image: GrayImage) -> bool:
        """Tell whether the results of an image are there already."""

    def skipped(self, path: Path) -> Outcome:
        """Return the outcome of an image whose results are complete."""

    def occupied(self, path: Path, image: GrayImage) -> dict[str, Any] | None:
        """Return the record of another image whose results have the same name."""

    def steps(self, path: Path, image: GrayImage) -> Generator[Progress, None, Outcome]:
        """Work on one image and write the results."""


@dataclass(frozen=True)
class SegmentJob:
    """Segment every image and write its results as ``NAME.labels.tif`` and so on.

    Results count as complete when their fingerprint is that of a new run: the same pixels,
    recipe, region, model and versions of the programs. With ``cache``, a folder of at most
    ``cache_size`` bytes, proposals of earlier runs are used again, without loading the model.
    The planes of a stack have such a folder in any case, unless its size is 0.
    ``overwrite`` tells whether labels in an image are replaced.
    """

    recipe: Recipe
    folder: Path
    cache: Path | None = None
    cache_size: int = 10 * 2**30
    naming: Naming = field(default_factory=Naming)
    kinds: tuple[outputs.Kind, ...] = outputs.USUAL
    pixel_size: tuple[float, float] | None = None
    overwrite: bool = False

    def absolute(self) -> SegmentJob:
        """Return the same job with paths that mean the same in every process."""
        cache = None if self.cache is None else self.cache.absolute()
        recipe, folder = _absolute(self.recipe), self.folder.absolute()
        naming = self.naming.absolute()
        return replace(self, recipe=recipe, folder=folder, cache=cache, naming=naming)

    def read(self, path: Path) -> GrayImage:
        """Read an image."""
        return _read(path, self.recipe, self.pixel_size)

    def begun(self, path: Path) -> bool:
        """Tell whether there are results of the name of an image's, without reading it."""
        name = self.naming.name(path, self.recipe.image)
        return (self.folder / f"{name}.recipe.yaml").is_file()

    def complete(self, path: Path, image: GrayImage) -> bool:
        """Tell whether the results of an image are there already, without loading the model."""
        if not self.begun(path):
            return False
        name = self.naming.name(path, self.recipe.image)
        fingerprint = pipeline.fingerprint_of(image, self.recipe)
        return outputs.is_complete(self.folder, name, fingerprint, self.kinds, image=image)

    def skipped(self, path: Path) -> Outcome:
        """Return the outcome of an image whose results are complete."""
        return Outcome(path, "skipped", name=self.naming.name(path, self.recipe.image))

    def occupied(self, path: Path, image: GrayImage) -> dict[str, Any] | None:
        """Return the record of another image whose results have the same name."""
        name = self.naming.name(path, self.recipe.image)
        if outputs.INTO_IMAGE in self.kinds:
            digest = pipeline.fingerprint_of(image, self.recipe).digest
            outputs.check_free(name, image.record, digest)
        return outputs.other_image(self.folder, name, image)

    def steps(self, path: Path, image: GrayImage) -> Generator[Progress, None, Outcome]:
        """Segment one image and write the results."""
        name = self.naming.name(path, self.recipe.image)
        outputs.check_own_store(self.kinds, self.folder, name)
        cache = open_cache(self.cache, self.cache_size)
        result = yield from pipeline.segment_steps(image, self.recipe, cache=cache)
        yield Progress("write", 0, 1)
        files = outputs.write_segmentation(
            result, self.folder, name, self.kinds, overwrite=self.overwrite
        )
        return Outcome(
            path,
            "done",
            objects=len(result.masks),
            unmasked=result.unmasked,
            files=files,
            notes=result.notes,
        )


@dataclass(frozen=True)
class CompareJob:
    """Segment every image raw and preprocessed, and write both and their comparison.

    ``truth`` holds the labels or objects of every image that has some. Results count as
    complete when both arms do, as for `SegmentJob`, and were scored against the same truth;
    ``cache`` serves both arms, ``overwrite`` is that of `SegmentJob`.
    """

    recipe: Recipe
    folder: Path
    truth: Mapping[Path, Path] = field(default_factory=dict)
    naming: Naming = field(default_factory=Naming)
    kinds: tuple[outputs.Kind, ...] = outputs.USUAL
    pixel_size: tuple[float, float] | None = None
    cache: Path | None = None
    cache_size: int = 10 * 2**30
    overwrite: bool = False

    def absolute(self) -> CompareJob:
        """Return the same job with paths that mean the same in every process."""
        truth = {image.absolute(): labels.absolute() for image, labels in self.truth.items()}
        cache = None if self.cache is None else self.cache.absolute()
        recipe, folder = _absolute(self.recipe), self.folder.absolute()
        naming = self.naming.absolute()
        return replace(self, recipe=recipe, folder=folder, truth=truth, naming=naming, cache=cache)

    def read(self, path: Path) -> GrayImage:
        """Read an image."""
        return _read(path, self.recipe, self.pixel_size)

    def begun(self, path: Path) -> bool:
        """Tell whether there are results of the name of an image's, without reading it."""
        name = self.naming.name(path, self.recipe.image)
        return (self.folder / f"{name}.comparison.json").is_file()

    def complete(self, path: Path, image: GrayImage) -> bool:
        """Tell whether the results of an image are there already, without loading the model."""
        if not self.begun(path):
            return False
        truth, _ = self._truth(path, image)
        return outputs.is_compared(
            self.folder,
            self.naming.name(path, self.recipe.image),
            {
                "raw": pipeline.fingerprint_of(image, self.recipe.raw_arm()),
                "preprocessed": pipeline.fingerprint_of(image, self.recipe.preprocessed_arm()),
            },
            self.kinds,
            truth=None if truth is None else array_digest(truth),
            image=image,
        )

    def skipped(self, path: Path) -> Outcome:
        """Return the outcome of an image whose results are complete, as they tell it."""
        name = self.naming.name(path, self.recipe.image)
        found = outputs.read_comparison(self.folder, name)
        scores = found.get("scores") if path.absolute() in self.truth else None
        return Outcome(path, "skipped", changes=found.get("counts"), scores=scores, name=name)

    def occupied(self, path: Path, image: GrayImage) -> dict[str, Any] | None:
        """Return the record of another image whose results have the same name."""
        name = self.naming.name(path, self.recipe.image)
        if outputs.INTO_IMAGE in self.kinds:
            arms = {"raw": self.recipe.raw_arm(), "preprocessed": self.recipe.preprocessed_arm()}
            for arm, recipe in arms.items():
                digest = pipeline.fingerprint_of(image, recipe).digest
                outputs.check_free(f"{name}.{arm}", image.record, digest)
        return outputs.other_image(self.folder, f"{name}.raw", image)

    def steps(self, path: Path, image: GrayImage) -> Generator[Progress, None, Outcome]:
        """Compare both arms of one image and write the results."""
        name = self.naming.name(path, self.recipe.image)
        outputs.check_own_store(self.kinds, self.folder, f"{name}.raw", f"{name}.preprocessed")
        truth, notes = self._truth(path, image)
        cache = open_cache(self.cache, self.cache_size)
        arms = yield from pipeline.compare_steps(image, self.recipe, truth=truth, cache=cache)
        yield Progress("write", 0, 1)
        files = outputs.write_comparison(
            arms, self.folder, name, self.kinds, overwrite=self.overwrite
        )
        scores = None
        if arms.scores is not None:
            scores = {str(arm): score.to_dict() for arm, score in arms.scores.items()}
        return Outcome(
            path,
            "done",
            objects=len(arms.preprocessed.masks),
            unmasked=arms.preprocessed.unmasked,
            files=files,
            changes={str(change): count for change, count in arms.changes.counts.items()},
            scores=scores,
            notes=arms.notes + notes,
        )

    def _truth(
        self, path: Path, image: GrayImage
    ) -> tuple[NDArray[np.integer] | None, tuple[str, ...]]:
        """Read the ground truth of an image, and what was assumed of it."""
        truth = self.truth.get(path.absolute())
        if truth is None:
            return None, ()
        shape = (image.pixels.shape[0], image.pixels.shape[1])
        return labels_and_notes(truth, shape=shape, image=path.name)


def open_cache(folder: Path | None, size: int) -> Cache | None:
    """Return the cache of a folder, which holds nothing in memory."""
    if folder is None:
        return None
    from napari_graysam.propose.cache import Cache

    return Cache(budget=0, folder=folder, folder_budget=size)


def _read(path: Path, recipe: Recipe, pixel_size: tuple[float, float] | None) -> GrayImage:
    image = read_image(path, recipe.image, pixel_size=pixel_size)
    # A result names its image so that it is found from everywhere.
    image.record["path"] = str(path.absolute())
    return image


def _absolute(recipe: Recipe) -> Recipe:
    """Make the paths of files of one's own absolute; config may also name one of the catalogue."""
    model, region = recipe.model, recipe.image.region
    if model.checkpoint is not None:
        model = model.replace(checkpoint=_path(model.checkpoint))
    if model.config is not None and model.config not in {entry.config for entry in CATALOG}:
        model = model.replace(config=_path(model.config))
    if isinstance(region, str):
        region = _path(region)
    return recipe.replace(model=model, image=recipe.image.replace(region=region))


def _path(text: str) -> str:
    return str(Path(text).expanduser().absolute())
