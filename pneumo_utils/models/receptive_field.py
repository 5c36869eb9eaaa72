"""Which pixels of a film one place in a feature map depends on: computed from the layers, and measured."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class ReceptiveField:
    """What the place in the middle of a feature map looks at.

    Attributes:
        side: Height and width of the square of pixels that can reach the place; what lies outside the film
            is padding.
        centre: Row and column of the pixel in the middle of that square.
        pull: float (H, W), how strongly each pixel moves the place: the mean absolute gradient, 0 to 1 with
            the strongest pixel at 1.
    """

    side: int
    centre: tuple[int, int]
    pull: np.ndarray


def compute_side(layers: nn.Module) -> tuple[int, int]:
    """Side of the receptive field and step from one place to the next, pixels.

    Args:
        layers: Convolutions one after the other, with anything between them that keeps places apart.

    Source:
        Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
    """
    side, step = 1, 1
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d):
            side += (layer.kernel_size[0] - 1) * layer.dilation[0] * step
            step *= layer.stride[0]
    return side, step


def measure_receptive_field(layers: nn.Module, inputs: torch.Tensor) -> ReceptiveField:
    """The receptive field of the middle place, with what each of its pixels counts.

    Args:
        layers: As for `compute_side`, each convolution with half its kernel as padding; they are run in
            evaluation mode and left in the mode they were in.
        inputs: float (B, C, H, W), normalised films; the gradient is averaged over them.

    Source:
        Luo et al., Understanding the Effective Receptive Field, NeurIPS 2016, arXiv 1701.04128.
    """
    side, step = compute_side(layers)
    was_training = layers.training
    layers.eval()
    inputs = inputs.detach().clone().requires_grad_(True)
    maps = layers(inputs)
    row, column = (size // 2 for size in maps.shape[-2:])
    (gradient,) = torch.autograd.grad(maps[:, :, row, column].sum(), inputs)
    layers.train(was_training)
    pull = gradient.abs().mean((0, 1))
    pull = pull / pull.max().clamp(min=1e-12)
    return ReceptiveField(side, (row * step, column * step), pull.cpu().numpy())
