"""Results as Labels layers, which are updated as long as nobody has painted in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_graysam._napari.canvas.layers import KEY, about, same_selection
from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.results.colors import Positions, colormap
from napari_graysam._napari.results.features import show_table
from napari_graysam._napari.results.written import ENTRIES, Entry
from napari_graysam._napari.threads.gui_queue import GuiQueue

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.results import Segmentation


class ResultLayers:
    """The Labels layers of one viewer that show results, named ``IMAGE [ARM]``.

    Parameters
    ----------
    viewer
        Where layers are added.

    Attributes
    ----------
    queue
        The tasks that add new layers and make them visible.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.queue = GuiQueue()
        self._entries: dict[tuple[Subject, Shown], Entry] = {}
        self._latest: Subject | None = None

    def layer(self, arm: Shown, subject: Subject | None = None) -> Labels | None:
        """Return the layer of a result, of the last run if omitted; None where it was removed."""
        entry = self._entry(arm, subject)
        return entry.layer if entry is not None and entry.layer in self._viewer.layers else None

    def attach(self, arm: Shown, entry: Entry) -> None:
        """Show a result in a layer that is there already, of a whole stack."""
        self._entries[entry.source.subject, arm] = entry

    def detach(self, arm: Shown, subject: Subject) -> None:
        """Take `attach` back."""
        entry = self._entries.get((subject, arm))
        if entry is not None and not entry.own:
            del self._entries[subject, arm]

    def _entry(self, arm: Shown, subject: Subject | None) -> Entry | None:
        subject = self._latest if subject is None else subject
        return None if subject is None else self._entries.get((subject, arm))

    def show(
        self, arm: Shown, result: Segmentation, source: Source, colors: Positions, *, new: bool
    ) -> str:
        """Show the result of a run in the arm's own layer, or in another one.

        Parameters
        ----------
        arm, result, source
            What was run, and on what.
        colors
            Places of its objects in the palette.
        new
            Add a numbered layer even where the arm has one for this image.

        Returns
        -------
        str
            What the user should know: that an edited layer was left alone. Else empty.
        """
        self.queue.finish()
        source = replace(source, array=None)
        known = None if new else self._own(arm, source)
        message = ""
        if known is not None:
            if known.source.placement.shape == source.placement.shape and not known.edited:
                self._latest = source.subject
                self._entries[source.subject, arm] = known
                known.source = source
                source.placement.apply_to(known.layer)
                self._write(known, arm, result, colors)
                return message
            message = left_alone(known.layer)
        self._add(arm, result, source, colors)
        return message

    def _own(self, arm: Shown, source: Source) -> Entry | None:
        """Return the layer of an arm of an image, or one that an earlier panel left behind."""
        known = self._entries.get((source.subject, arm))
        if known is not None and known.own and known.layer in self._viewer.layers:
            return known
        found = [
            ENTRIES[layer.unique_id]
            for layer in reversed(self._viewer.layers)
            if layer.unique_id in ENTRIES and _is_of(layer, arm, source)
        ]
        return next((entry for entry in found if not entry.edited), found[0] if found else None)

    def update(
        self, arm: Shown, result: Segmentation, colors: Positions, subject: Subject | None = None
    ) -> str:
        """Show another selection of a result, of the last run if the subject is omitted.

        A layer that was edited is left alone and the arm gets a new one; one that was removed
        comes back.

        Returns
        -------
        str
            As `show`.
        """
        self.queue.finish()
        entry = self._entry(arm, subject)
        if entry is None:
            return ""
        present = entry.layer in self._viewer.layers
        if present and not entry.edited:
            self._write(entry, arm, result, colors)
            return ""
        self._add(arm, result, entry.source, colors)
        return left_alone(entry.layer) if present else ""

    def recolor(self, arm: Shown, colors: Positions, subject: Subject | None = None) -> None:
        """Give the objects of an arm other colours."""
        entry, layer = self._entry(arm, subject), self.layer(arm, subject)
        if entry is not None and entry.own and layer is not None and not entry.edited:
            layer.colormap = colormap(colors)

    def set_table(self, arm: Shown, result: Segmentation, subject: Subject | None = None) -> None:
        """Give the arm's layer the measured table of its result, where it still shows that."""
        entry, layer = self._entry(arm, subject), self.layer(arm, subject)
        if entry is None or not entry.own or layer is None:
            return
        if entry.written is result.labels:
            show_table(layer, result.table, KEY)

    def toggle(self, subject: Subject | None = None) -> Shown | None:
        """Show the other arm's layer instead of the visible one; return the arm now visible."""
        raw, other = self.layer("raw", subject), self.layer("preprocessed", subject)
        if raw is None or other is None:
            return None
        both = self.layer("combined", subject)
        if both is not None:
            both.visible = False
        raw.visible, other.visible = not raw.visible, raw.visible
        return "raw" if raw.visible else "preprocessed"

    def _add(self, arm: Shown, result: Segmentation, source: Source, colors: Positions) -> None:
        from napari.layers import Labels

        layer = Labels(
            source.placement.arrange(result.labels).copy(),
            name=self._free_name(f"{source.title} [{arm}]"),
            colormap=colormap(colors),
            metadata={KEY: describe(arm, result, source)},
            visible=False,
            **source.placement.options,
        )
        entry = Entry(layer, source, result.labels, ref(result))
        self._latest = source.subject
        self._entries[source.subject, arm] = entry
        ENTRIES[layer.unique_id] = entry
        layer.events.paint.connect(lambda event: setattr(entry, "painted", True))
        tools = list(_put_off(layer))
        self.queue.add(
            partial(self._insert, layer),
            partial(self._select, layer),
            *tools,
            partial(self._reveal, entry),
            partial(self._features, entry, result),
        )

    def _insert(self, layer: Labels) -> None:
        layers = self._viewer.layers
        # Telling of a selection that does not change would take a third of the time.
        with layers.selection.events.blocker_all(), same_selection(layers):
            self._viewer.add_layer(layer)

    def _select(self, layer: Labels) -> None:
        if layer in self._viewer.layers:
            self._viewer.layers.selection.active = layer

    def _reveal(self, entry: Entry) -> None:
        """Show a new layer in place of those that it would cover: of the same plane."""
        if entry.layer not in self._viewer.layers:
            return
        of = entry.source
        for known in self._entries.values():
            there = (known.source.layer_id, known.source.plane) == (of.layer_id, of.plane)
            if there and known is not entry and known.layer in self._viewer.layers:
                known.layer.visible = False
        entry.layer.visible = True

    def _write(self, entry: Entry, arm: Shown, result: Segmentation, colors: Positions) -> None:
        entry.written, entry.result = result.labels, ref(result)
        entry.put(result.labels)
        if not entry.own:
            return
        entry.layer.colormap = colormap(colors)
        entry.layer.metadata = {
            **entry.layer.metadata,
            KEY: describe(arm, result, entry.source),
        }
        self._features(entry, result)

    def _features(self, entry: Entry, result: Segmentation) -> None:
        """Show the table if it has been measured; else none, as the old one no longer holds."""
        if entry.written is not result.labels:
            return
        if "table" in vars(result):
            show_table(entry.layer, result.table, KEY)
        elif len(entry.layer.features):
            entry.layer.features = {}

    def _free_name(self, name: str) -> str:
        taken = {layer.name for layer in self._viewer.layers}
        names = (name if number == 1 else f"{name} {number}" for number in range(1, len(taken) + 2))
        return next(some for some in names if some not in taken)


def describe(arm: Shown, result: Segmentation, source: Source) -> dict[str, Any]:
    """Return how a layer was made, in JSON's types.

    Keys: ``arm``, ``source_layer``, ``plane``, ``region`` (its layer), ``recipe`` (as a recipe
    file holds it) and ``provenance`` (versions, model with its checksum, image, proposals,
    seconds).
    """
    return {
        "arm": arm,
        "source_layer": source.layer_name,
        "plane": source.plane,
        "region": source.region_name,
        "recipe": result.recipe.to_dict(),
        "provenance": result.provenance,
    }


def _is_of(layer: Layer, arm: Shown, source: Source) -> bool:
    """Whether a layer says that it shows this arm of this image."""
    says = [about(layer).get(key) for key in ("arm", "source_layer", "plane", "region")]
    return says == [arm, source.layer_name, source.plane, source.region_name]


def _put_off(layer: Labels) -> Iterator[Callable[[], None]]:
    """Keep napari from drawing a layer's tools when it is added; return what draws them.

    They take half of the time that adding takes, and none is in use yet.
    """
    for overlay in getattr(layer, "_overlays", {}).values():
        if overlay.visible:
            overlay.visible = False
            yield partial(setattr, overlay, "visible", True)


def left_alone(layer: Labels) -> str:
    """Say that a layer stays as its user has changed it."""
    return f"“{layer.name}” was edited and stays as it is; the new result is in a layer of its own."
