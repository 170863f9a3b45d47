"""Choose where a model runs and in which precision, and say what there is when it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam.errors import DeviceError

if TYPE_CHECKING:
    import torch


def device_names() -> tuple[str, ...]:
    """Return the devices of this machine, best first: ``cuda:0``, …, ``mps``, ``cpu``."""
    import torch

    cuda = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    mps = ("mps",) if torch.backends.mps.is_available() else ()
    return (*cuda, *mps, "cpu")


def cuda_advice() -> str:
    """Say what stands between this installation and a CUDA device."""
    import torch

    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is a build without CUDA; with an NVIDIA GPU, install a "
            "CUDA build as https://pytorch.org/get-started/locally shows"
        )
    return (
        f"torch {torch.__version__} is built for CUDA {torch.version.cuda}; check with "
        "`nvidia-smi` that the driver is installed, new enough and sees the GPU"
    )


def choose_device(name: str) -> torch.device:
    """Return a device that works.

    Parameters
    ----------
    name
        ``auto`` (the best there is), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    DeviceError
        If the device is absent, or present but cannot compute.
    """
    import torch

    present = device_names()
    chosen = present[0] if name == "auto" else name
    if chosen == "cuda":
        chosen = "cuda:0"
    if chosen not in present:
        advice = (
            cuda_advice() if chosen.startswith("cuda") else "mps needs a Mac with Apple silicon"
        )
        raise DeviceError(
            f"The device {name} is absent: this machine offers {', '.join(present)}. For "
            f"another one, {advice}. To go on with what there is, set model.device=auto."
        )
    device = torch.device(chosen)
    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"The device {chosen} is present but cannot compute ({reason}): {cuda_advice()}, or "
            "set model.device=cpu."
        ) from error
    return device


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the floating-point type to compute in.

    Parameters
    ----------
    precision
        ``float32`` or ``bfloat16``.
    device
        A device from `choose_device`.

    Raises
    ------
    DeviceError
        If the device cannot compute in this precision.
    """
    import torch

    if precision == "float32":
        return torch.float32
    able = torch.amp.is_autocast_available(device.type)
    if device.type == "cuda":
        able = torch.cuda.get_device_capability(device) >= (8, 0)
    if able:
        try:
            torch.ones(2, 2, device=device, dtype=torch.bfloat16).matmul(
                torch.ones(2, 2, device=device, dtype=torch.bfloat16)
            )
        except (RuntimeError, TypeError):
            able = False
    if not able:
        raise DeviceError(
            f"The device {device} cannot compute in bfloat16 (NVIDIA GPUs can from Ampere on): "
            "set model.precision=float32."
        )
    return torch.bfloat16
