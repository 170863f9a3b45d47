"""The section Model: which model, where its file is, and where it runs."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, FileEdit
from qtpy.QtCore import QEvent, QObject

from napari_graysam._napari.forms.controls import Note, align_label
from napari_graysam._napari.forms.fields import guard_wheel
from napari_graysam._napari.forms.recipe_form import RecipeForm
from napari_graysam._napari.forms.wording import tooltip
from napari_graysam._napari.panel.download import Download, megabytes
from napari_graysam._napari.panel.preset import OF_MODEL
from napari_graysam._napari.threads import heavy_imports
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.model.catalog import BUNDLED, CATALOG, bundled_path, find_entry
from napari_graysam.model.weights import locate
from napari_graysam.recipe import GeneratorOptions, ModelOptions, Recipe
from napari_graysam.recipe.document import of_model

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget

    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.model.catalog import ModelEntry

CHOSEN = ("name", "checkpoint", "config", "device")
"""Parameters with widgets made for them."""
OWN = "own"
"""Choice of a checkpoint file of one's own."""
_BYTES_A_POINT = 30e6
"""Of the decoder at 1024 pixels a side, as ``generator.points_per_batch`` says."""


class ModelSection(Container):
    """Edits ``recipe.model``; downloads official checkpoints.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.

    Attributes
    ----------
    fields
        Widget of each of the recipe's parameters, by its dotted path.
    """

    title = "Model"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._own = state.recipe.model.checkpoint is not None
        self._devices: tuple[str, ...] = ()
        self._finder = LatestRequest(self._on_devices)
        self._build(state)
        super().__init__(
            widgets=[self.model, self.architecture, self.file, self.device], labels=True
        )
        self.download = Download(self.reset_choices)
        self._lay_out()
        self._watcher = _InterestWatcher(self)
        for native in (self.native, self.device.native):
            native.installEventFilter(self._watcher)
        self._connect()
        self._follow()

    def _build(self, state: PanelState) -> None:
        self.model = self._chooser("name", self._models)
        self.architecture = ComboBox(
            label="Architecture",
            choices=[(entry.title, entry.name) for entry in CATALOG],
            tooltip="<qt>The model that your checkpoint was made from.</qt>",
        )
        self.file = FileEdit(
            label="File", mode="r", filter="Checkpoints (*.pt *.pth *.safetensors)"
        )
        self.file.tooltip = tooltip(ModelOptions, "checkpoint")
        self.device = self._chooser("device", self._device_choices)
        self.config = RecipeForm(state, "model", ("config",))
        self.rest = RecipeForm(state, "model", exclude=CHOSEN)
        self.about, self.notice = Note(), Note()
        self.fields: dict[str, Widget] = {
            "model.name": self.model,
            "model.checkpoint": self.file,
            "model.config": self.config.fields["config"],
            "model.device": self.device,
            **self.rest.by_path,
        }

    def _chooser(self, name: str, choices: Any) -> ComboBox:
        title = ModelOptions.model_fields[name].title
        return ComboBox(label=title, choices=choices, tooltip=tooltip(ModelOptions, name))

    def _lay_out(self) -> None:
        for widget in (self.model, self.architecture, self.file, self.device):
            align_label(widget)
            guard_wheel(widget.native)
        column = self.native.layout()
        for row, widget in ((1, self.download), (4, self.config)):
            column.insertWidget(row, widget.native)
        column.addWidget(self.rest.native)
        column.addWidget(self.about.native)
        column.addWidget(self.notice.native)

    def _connect(self) -> None:
        self.model.changed.connect(self._choose)
        self.architecture.changed.connect(self.choose_model)
        self.file.line_edit.native.editingFinished.connect(self._choose_file)
        self.file.changed.disconnect()
        self.file.choose_btn.changed.connect(self._choose_file)
        self.device.changed.connect(self._choose_device)
        self._state.recipe_changed.connect(self._follow)

    def _models(self, widget: object) -> list[tuple[str, str]]:
        return [
            *((f"{entry.title}{_mark(entry)}", entry.name) for entry in CATALOG),
            ("A file of your own", OWN),
        ]

    def _device_choices(self, widget: object) -> list[str]:
        chosen = self._state.recipe.model.device
        return list(dict.fromkeys(["auto", *self._devices, chosen]))

    def _choose(self, name: str) -> None:
        self._own = name == OWN
        if self._own:
            self.notice.say("")
            self._follow()
        else:
            self.choose_model(name)

    def choose_model(self, name: str) -> None:
        """Take another model, with thresholds, crops and arithmetic for it where not edited.

        Parameters
        ----------
        name
            Of the catalogue.
        """
        before = self._state.recipe
        recipe = before.with_model(name)
        if not self._own:
            recipe = recipe.replace(model=recipe.model.replace(checkpoint=None, config=None))
        message = "" if name == before.model.name else _changes(before, recipe)
        self._state.recipe = recipe
        self._follow()
        self.notice.say(message)

    def _choose_file(self, *_: object) -> None:
        text = self.file.line_edit.value.strip()
        path = text if text and text != "." else None
        if path != self._state.recipe.model.checkpoint:
            self._state.recipe = self._state.recipe.replace(
                model=self._state.recipe.model.replace(checkpoint=path)
            )

    def _choose_device(self, device: str) -> None:
        self._state.change({"model.device": device})

    def reset_choices(self, *_: Any) -> None:
        """Read again which models are on disk."""
        self._follow()

    def _follow(self, *_: object) -> None:
        model = self._state.recipe.model
        self._own = self._own or model.checkpoint is not None
        for chooser, value in (
            (self.model, OWN if self._own else model.name),
            (self.architecture, model.name),
            (self.device, model.device),
        ):
            with chooser.changed.blocked():
                chooser.reset_choices()
                chooser.value = value
        self.file.line_edit.value = model.checkpoint or ""
        for widget in (self.architecture, self.file):
            widget.native.parentWidget().setVisible(self._own)
        self.config.native.setVisible(self._own)
        self.about.say(self._describe())
        self.download.offer(None if self._own else find_entry(model.name))

    def _describe(self) -> str:
        recipe = self._state.recipe
        model, entry = recipe.model, find_entry(recipe.model.name)
        path = Path(model.checkpoint).expanduser() if model.checkpoint else locate(entry)
        if self._own and model.checkpoint is None:
            return "⚠ Choose a checkpoint file."
        if self._own and (path is None or not path.is_file()):
            return f"⚠ There is no file {model.checkpoint}: choose another."
        if path is None and entry is BUNDLED:
            return f"⚠ The model's file {bundled_path()} is missing: install napari-graysam again."
        weights = path.stat().st_size if path is not None else entry.bytes or 0
        shown = entry.description if not self._own else f"Built as {entry.title}."
        return f"{shown}\nMemory: {_memory(recipe, entry, weights)}."

    def find_devices(self) -> None:
        """Find out in a worker thread which devices there are, which needs PyTorch."""
        if not self._devices and not self._finder.busy:
            self._finder.submit(_devices)

    def _on_devices(self, devices: tuple[str, ...]) -> None:
        self._devices = devices
        self._follow()


class _InterestWatcher(QObject):
    """Looks for devices when the mouse or the keyboard first comes near, not at the start."""

    def __init__(self, section: ModelSection) -> None:
        super().__init__(section.native)
        self._section = section

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Wait for the mouse over the section, or the focus on the chooser."""
        if event.type() in (QEvent.Type.Enter, QEvent.Type.FocusIn):
            self._section.find_devices()
        return False


def _devices() -> Generator[tuple[str, ...], None, None]:
    heavy_imports.load()
    from napari_graysam.model.device import device_names

    yield device_names()


def _changes(before: Recipe, after: Recipe) -> str:
    """Say what another model changed besides itself, and what it left that was edited."""
    suited = after.own_preset(after.model.name)
    title = find_entry(after.model.name).title
    old, new, usual = (_suiting(one) for one in (before, after, suited))
    changed = {name: value for name, value in new.items() if value != old[name]}
    kept = {name: value for name, value in usual.items() if value != new[name]}
    lines = []
    if changed:
        lines.append(f"Changed to suit {title}: {_in_words(changed)}.")
    if kept:
        lines.append(f"Your other values were kept; usual for {title}: {_in_words(kept)}.")
    return "\n".join(lines)


def _suiting(recipe: Recipe) -> dict[str, Any]:
    """Return what suits one model only, by the parameters' titles."""
    fields = GeneratorOptions.model_fields
    values: dict[str, Any] = {
        fields[name].title or name: value for name, value in of_model(recipe).items()
    }
    for name in OF_MODEL:
        title = ModelOptions.model_fields[name].title or name
        values[title] = getattr(recipe.model, name)
    return values


def _in_words(values: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        if value is None:
            return "automatic"
        return f"{value:g}" if isinstance(value, (int, float)) else str(value)

    return ", ".join(f"{title} {text(value)}" for title, value in values.items())


def _mark(entry: ModelEntry) -> str:
    if entry.url is None:
        return ""
    return " · on disk" if locate(entry) else f" · download {megabytes(entry.bytes)}"


def _memory(recipe: Recipe, entry: ModelEntry, weights: float) -> str:
    """Say about how much memory a model and a batch of points take."""
    share = 0.5 if recipe.model.precision == "bfloat16" else 1.0
    point = _BYTES_A_POINT * (entry.image_size / 1024) ** 2 * share
    batch = recipe.generator.points_per_batch
    if batch is None:
        decoder = f"{megabytes(round(point))} for each point asked at once"
    else:
        decoder = f"{megabytes(round(point * batch))} for a batch of {batch} points"
    return f"about {megabytes(round(weights * share))} for the model and {decoder}"
