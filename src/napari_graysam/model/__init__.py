"""Models: which there are, where their weights are, and how to load them.

Nothing here imports torch before a model is loaded.
"""

from napari_graysam.model.catalog import BUNDLED, CATALOG, ModelEntry, find_entry
from napari_graysam.model.load import LoadedModel, load_model, load_steps
from napari_graysam.model.weights import cache_folder, fetch, locate, model_folders, verify

__all__ = [
    "BUNDLED",
    "CATALOG",
    "LoadedModel",
    "ModelEntry",
    "cache_folder",
    "fetch",
    "find_entry",
    "load_model",
    "load_steps",
    "locate",
    "model_folders",
    "verify",
]
