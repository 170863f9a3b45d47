"""What a user can do wrong, or a machine can lack: one class each.

Every message names what came, what was expected and what to do next.
"""


class GraysamError(Exception):
    """Base of every error that napari-graysam raises on purpose.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import GraysamError, segment
    >>> try:
    ...     segment(np.zeros((3, 64, 64)))
    ... except GraysamError as error:
    ...     print(type(error).__name__)
    ImageError
    """


class RecipeError(GraysamError, ValueError):
    """A recipe holds an unknown key, a wrong type or a value out of range."""


class ImageError(GraysamError, ValueError):
    """An image cannot be read, or its shape, axes or values cannot be segmented."""


class LabelsError(ImageError):
    """A file of labels, masks or outlines is missing, damaged or of another kind."""


class TruthError(GraysamError, ValueError):
    """A ground truth cannot be compared with the result."""


class ModelError(GraysamError):
    """A checkpoint or its config is missing, damaged, unsafe or of another model."""


class DownloadError(ModelError, OSError):
    """A checkpoint could not be downloaded whole."""


class DeviceError(GraysamError, RuntimeError):
    """The requested device is absent, or its memory does not suffice."""


class OutputError(GraysamError, OSError):
    """A result cannot be written."""


class DiskFullError(OutputError):
    """Nothing more can be written to a disk."""


class ProposalsError(GraysamError, ValueError):
    """Stored proposals cannot be read, or do not hold what a recipe asks for."""


class UsageError(GraysamError, ValueError):
    """Inputs or options of one call do not fit together."""


class SchedulerError(GraysamError, OSError):
    """A Dask scheduler cannot be reached, or has no workers."""


class WorkersError(GraysamError, OSError):
    """Worker processes end, whatever they work on."""
