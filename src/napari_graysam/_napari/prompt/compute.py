"""What the prompt tool asks of the model in a worker thread."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_graysam._napari.canvas.placement import Placement
from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.results.run import Memory
from napari_graysam.recipe import Prompt, Recipe

if TYPE_CHECKING:
    from napari_graysam.masks import Mask
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
                source.array if source.part is None else source.gray(),
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
    """What takes back the merges and splits that objects come from, or such a return.

    Attributes
    ----------
    pins
        To be added to the recipe: they take back what was merged or split.
    held
        Pins that keep the objects from being merged or split, to be taken back.
    kind
        What is taken back: ``"merged"`` or ``"split"``.
    place
        ``(x, y)`` in image pixels on one of the objects, now and afterwards.
    """

    pins: tuple[Pin, ...] = ()
    held: tuple[Pin, ...] = ()
    kind: str = ""
    place: tuple[float, float] | None = None


def take_back_at(result: Segmentation, x: int, y: int) -> Generator[Regrouped, None, None]:
    """Yield what takes back the merge or the split of the object that is seen at a pixel."""
    label = int(result.labels[y, x])
    yield from take_back([(result, (label,) if label else ())])


def take_back(
    objects: Sequence[tuple[Segmentation, Sequence[int]]],
) -> Generator[Regrouped, None, None]:
    """Yield what takes back the merges and splits of objects, or else what holds them.

    Parameters
    ----------
    objects
        Results, and labels of objects in each.
    """
    from napari_graysam.fingerprint import array_digest
    from napari_graysam.masks.regions import innermost
    from napari_graysam.prompt import taking_back
    from napari_graysam.select.pins import pins_holding

    pins: dict[Pin, str] = {}
    held: dict[Pin, str] = {}
    masks: list[Mask] = []
    for result, labels in objects:
        size = (result.labels.shape[0], result.labels.shape[1])
        digest = array_digest(result.raw)
        for one in result.regroupings:
            if set(labels) & set(one.labels(result.masks)):
                pins[taking_back(one, digest, size)] = one.kind
                masks += one.before
        for label in labels:
            mask = result.masks[label - 1]
            for pin in pins_holding(mask, result.recipe.labels, size, digest):
                held[pin] = "merged" if pin.kind == "apart" else "split"
                masks.append(mask)
    if pins:
        yield Regrouped(tuple(pins), (), next(iter(pins.values())), innermost(masks[0]))
    elif held:
        yield Regrouped((), tuple(held), next(iter(held.values())), innermost(masks[0]))
    else:
        yield Regrouped()
