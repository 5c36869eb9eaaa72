"""`cnn_baseline`, a small convolutional network, and the receptive field of such networks."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


def conv_block(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU; a stride of 2 halves height and width, 1 keeps them."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class CnnBaseline(nn.Module):
    """Stages of two convolution blocks, each of so many channels; the first block halves height and width."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128, 256), dropout: float = 0.3):
        super().__init__()
        blocks, channels = [], 1
        for width in widths:
            blocks += [conv_block(channels, width, stride=2), conv_block(width, width)]
            channels = width
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for normalised films (B, 1, H, W)."""
        features = self.pool(self.features(images)).flatten(1)
        return self.head(self.dropout(features)).squeeze(1)


@dataclass(frozen=True)
class ReceptiveField:
    """What the place in the middle of a feature map looks at."""

    side: int  # of the square of pixels that can reach the place, padding included
    centre: tuple[int, int]  # row and column of the pixel in the middle of that square
    pull: np.ndarray  # float (H, W), how much each pixel moves the place: mean absolute gradient, 1 at most


def compute_side(layers: nn.Module) -> tuple[int, int]:
    """Side of the receptive field of convolutions in a row, and step from one place to the next, pixels.

    Source: Araujo, Norris and Sim, Computing Receptive Fields, Distill 2019.
    """
    side, step = 1, 1
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d):
            side += (layer.kernel_size[0] - 1) * layer.dilation[0] * step
            step *= layer.stride[0]
    return side, step


def measure_receptive_field(layers: nn.Module, inputs: torch.Tensor) -> ReceptiveField:
    """The receptive field of the middle place, with what each of its pixels counts on average over films.

    The layers, convolutions in a row, each with half its kernel as padding, run in evaluation mode on
    normalised films, float (B, C, H, W).

    Source: Luo et al., Understanding the Effective Receptive Field, NeurIPS 2016, arXiv 1701.04128.
    """
    side, step = compute_side(layers)
    inputs = inputs.detach().clone().requires_grad_(True)
    maps = copy.deepcopy(layers).eval()(inputs)
    row, column = (size // 2 for size in maps.shape[-2:])
    (gradient,) = torch.autograd.grad(maps[:, :, row, column].sum(), inputs)
    pull = gradient.abs().mean((0, 1))
    pull = pull / pull.max().clamp(min=1e-12)
    return ReceptiveField(side, (row * step, column * step), pull.cpu().numpy())
