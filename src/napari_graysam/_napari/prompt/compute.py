"""What the prompt tool asks of the model in a worker thread."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_graysam._napari.canvas.placement import Placement
from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.results.run import Memory
from napari_graysam.recipe import Prompt, Recipe

if TYPE_CHECKING:
    from napari_graysam.prompt import Answer, Predictor
    from napari_graysam.recipe import Pin
    from napari_graysam.results import Arm, Segmentation

_PARTS = ("image", "preprocess", "rgb", "model", "generator")


class Question(NamedTuple):
    """A prompt about an image, with the recipe and the arm that answer it."""

    source: Source
    recipe: Recipe
    arm: Arm
    prompt: Prompt

    @property
    def of_arm(self) -> Recipe:
        """The recipe of the arm, with the source's image options."""
        recipe = self.recipe.replace(image=self.source.options)
        return recipe.raw_arm() if self.arm == "raw" else recipe.preprocessed_arm()


class Answered(NamedTuple):
    """A question's answer, and where its image lies."""

    question: Question
    answer: Answer
    placement: Placement


class Session:
    """Keeps the image that was last asked, ready for the next prompt.

    Parameters
    ----------
    memory
        The cache that the panel's runs share.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._ready: tuple[Any, tuple[Any, ...], Predictor] | None = None

    def forget(self) -> None:
        """Read the image again for the next prompt."""
        self._ready = None

    def answer(self, question: Question) -> Generator[str | Answered, None, None]:
        """Yield what is being done, then the answer."""
        from napari_graysam import pipeline

        recipe, source = question.of_arm, question.source
        key = (
            source.contrast_limits,
            question.arm,
            *(getattr(recipe, name) for name in _PARTS),
            recipe.labels.replace(keep=(), pinned=()),
        )
        ready = self._ready
        if ready is None or ready[0] is not source.array or ready[1] != key:
            yield "Reading the image and loading the model…"
            steps = pipeline.predictor_steps(
                source.array,
                recipe,
                contrast_limits=source.contrast_limits,
                source=question.arm,
                cache=self._memory.cache(),
            )
            predictor = yield from _said(steps)
            ready = self._ready = source.array, key, predictor
        predictor = ready[2]
        answer = yield from _said(predictor.ask(question.prompt))
        yield Answered(question, answer, source.placement)


def _said(steps: Generator[Any, None, Any]) -> Generator[str, None, Any]:
    """Say each step in words, and return the result."""
    words = {
        "image": "Reading the image…",
        "preprocess": "Preprocessing…",
        "load": "Loading the model…",
        "download": "Downloading the model…",
        "verify": "Checking the model…",
    }
    try:
        while True:
            stage, done, total = next(steps)
            if stage == "encode":
                if done < total:
                    yield f"Encoding the image, {done + 1} of {total}…"
            elif stage in words:
                yield words[stage]
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


class Removed(NamedTuple):
    """The pin of an object at a pixel: its own, to be taken back, or one that removes it."""

    pin: Pin | None


def remove_at(result: Segmentation, x: int, y: int) -> Generator[Removed, None, None]:
    """Yield what takes away the object that is seen at a pixel; None where there is none."""
    from napari_graysam.fingerprint import array_digest
    from napari_graysam.prompt import removal

    label = int(result.labels[y, x])
    if not label:
        yield Removed(None)
        return
    mask = result.masks[label - 1]
    if mask.pin >= 0 and result.recipe.labels.pinned[mask.pin].kind == "add":
        yield Removed(result.recipe.labels.pinned[mask.pin])
        return
    size = (result.labels.shape[0], result.labels.shape[1])
    yield Removed(removal(mask, array_digest(result.raw), size))


class Regrouped(NamedTuple):
    """What takes back the merge or the split that an object comes from; None without one."""

    pin: Pin | None
    kind: str = ""


def take_back_at(result: Segmentation, x: int, y: int) -> Generator[Regrouped, None, None]:
    """Yield what takes back the merge or the split of the object that is seen at a pixel."""
    from napari_graysam.fingerprint import array_digest
    from napari_graysam.prompt import taking_back

    label = int(result.labels[y, x])
    for one in result.regroupings:
        if label in one.labels(result.masks):
            size = (result.labels.shape[0], result.labels.shape[1])
            yield Regrouped(taking_back(one, array_digest(result.raw), size), one.kind)
            return
    yield Regrouped(None)
