"""Fold batch normalisation into the convolutions, as the model in use has it."""

from __future__ import annotations

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


def load_network(path: str, key: str = "ema") -> Network:
    """Return the network of a run's checkpoint, in evaluation mode."""
    net = Network()
    net.load_state_dict(torch.load(path, weights_only=True)[key])
    return net.eval()
