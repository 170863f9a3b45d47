"""Fold batch normalisation into the convolutions, as the model in use has it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from network import Block, Network
from torch import Tensor, nn

Weights = dict[str, Tensor]


def _folded(name: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> Weights:
    """Return weight and bias of a convolution that does what both did."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return {
        f"{name}.weight": convolution.weight * scale[:, None, None, None],
        f"{name}.bias": norm.bias - norm.running_mean * scale,
    }


def _plain(name: str, layer: nn.Conv2d) -> Weights:
    return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}


def _block(name: str, block: Block) -> Weights:
    weights = {}
    if block.expanded:
        weights |= _folded(f"{name}.expand", block._expand_conv, block._bn0)
    weights |= _folded(f"{name}.depthwise", block._depthwise_conv, block._bn1)
    return weights | _folded(f"{name}.project", block._project_conv, block._bn2)


def fold(net: Network) -> Weights:
    """Return the weights of ``VoteTrunk`` but its codes, float32."""
    weights = _folded("stem", net._conv_stem, net._bn0)
    for index, block in enumerate(net._blocks):
        weights |= _block(f"blocks.{index}", block)
    weights |= _plain("early", net.early) | _plain("head", net.head)
    for level, lateral in enumerate([*net.lateral, net.coarse]):
        weights |= _plain(f"lateral.{level}", lateral)
    for level, up in enumerate(net.up):
        weights |= _plain(f"up.{level}", up)
    for level, pair in enumerate(net.mix):
        for index, (convolution, norm, _) in enumerate(pair):
            weights |= _folded(f"mix.{level}.{2 * index}", convolution, norm)
    return {name: value.detach().clone() for name, value in weights.items()}


def unfold(weights: Weights) -> Network:
    """Return the trainable network that does what folded weights do.

    A convolution gets the size that a fresh one has, so that its rate of learning is as usual,
    and its normalisation takes it back. `settle` then measures what it normalises.
    """
    net = Network()
    with torch.no_grad():
        for name, value in fold(net).items():
            if name.endswith(".weight"):
                _unfold(net, name.removesuffix(".weight"), value, weights)
    return net.eval()


def _unfold(net: Network, name: str, fresh: Tensor, weights: Weights) -> None:
    weight, bias = weights[f"{name}.weight"].float(), weights[f"{name}.bias"].float()
    convolution, norm = _layers(net, name)
    if norm is None:
        convolution.weight.copy_(weight)
        convolution.bias.copy_(bias)
        return
    size = fresh.square().mean().sqrt() / weight.square().mean((1, 2, 3)).sqrt().clamp(min=1e-8)
    convolution.weight.copy_(weight * size[:, None, None, None])
    norm.running_mean.zero_()
    norm.running_var.copy_(size.square() - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(bias)


def _layers(net: Network, name: str) -> tuple[nn.Conv2d, nn.BatchNorm2d | None]:
    """Return the convolution of a folded name and its normalisation, if it has one."""
    part, _, place = name.partition(".")
    index, _, kind = place.partition(".")
    if part == "stem":
        return net._conv_stem, net._bn0
    if part == "blocks":
        block = net._blocks[int(index)]
        norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
        return getattr(block, f"_{kind}_conv"), getattr(block, norms[kind])
    if part == "mix":
        pair = net.mix[int(index)][int(kind) // 2]
        return pair[0], pair[1]
    if part == "lateral":
        return [*net.lateral, net.coarse][int(index)], None
    return getattr(net, part)[int(index)] if place else getattr(net, part), None


@torch.no_grad()
def settle(net: Network, batches: Iterable[Tensor]) -> None:
    """Let every normalisation measure its inputs; the network does what it did."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

    def look(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0].double()
        seen[norm].append(torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))]))

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    for batch in batches:
        net(batch)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, square = torch.stack(seen[norm]).mean(0)
        variance = (square - mean.square()).clamp(min=0)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias += scale * (mean.float() - norm.running_mean)
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


def load_network(path: str, key: str = "ema") -> Network:
    """Return the network of a run's checkpoint, in evaluation mode."""
    net = Network()
    net.load_state_dict(torch.load(path, weights_only=True)[key])
    return net.eval()
