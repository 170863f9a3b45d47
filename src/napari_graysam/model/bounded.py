"""A ceiling on how many numbers a model may hold, while it is being built."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from napari_graysam.errors import ModelError


class Bounded(TorchFunctionMode):
    """Within this context, tensors made from nothing may have so many numbers together.

    Raises
    ------
    ModelError
        From the call that makes one more.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.made = most, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, and count what it makes."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not any(isinstance(each, Tensor) for each in args):
            self.made += result.numel()
            if self.made > self.most:
                raise ModelError(
                    f"The model config asks for more than {self.most} weights: more than there "
                    "are in the checkpoint, or in any SAM 2 model."
                )
        return result
