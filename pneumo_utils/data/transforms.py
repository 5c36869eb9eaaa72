"""From grey levels to the network's input: one transform for evaluation, one set of random changes.

Both work on whole batches of tensors, on whatever device these are on.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from pneumo_utils.config import Augmentation

# The mean over the three colour channels of the statistics that ImageNet models were trained with
# (torchvision's presets: mean .485 .456 .406, standard deviation .229 .224 .225).
GREY_MEAN, GREY_STD = 0.449, 0.226


@dataclass(frozen=True)
class EvalTransform:
    """The fixed way from a film to the network's input; kept in the checkpoint by its values.

    Validation, test, the command line and the widget all use the checkpoint's own.

    Attributes:
        image_size: Height and width of the input, pixels.
        name: The preset's name.
        mean: Subtracted from grey levels in 0 to 1.
        std: Divides them afterwards, above 0.
    """

    image_size: int
    name: str = "grey"
    mean: float = GREY_MEAN
    std: float = GREY_STD

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Scales and normalises films.

        Args:
            images: uint8 (B, H, W), 0 to 255.

        Returns:
            float32 (B, 1, image_size, image_size), about -2 to 2.4.
        """
        return self.normalise(self.to_grey_levels(images))

    def to_grey_levels(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W) to float32 (B, 1, S, S) in 0 to 1, resized where the size differs."""
        levels = images.unsqueeze(1).float().div_(255)
        size = (self.image_size, self.image_size)
        if levels.shape[-2:] != size:
            levels = F.interpolate(levels, size, mode="bilinear", antialias=True, align_corners=False)
        return levels

    def normalise(self, levels: torch.Tensor) -> torch.Tensor:
        """Grey levels in 0 to 1, of any shape, to the network's range."""
        return (levels - self.mean) / self.std


def augment_films(
    levels: torch.Tensor, ranges: Augmentation, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Random changes to a batch, a different draw for each film.

    Args:
        levels: float (B, 1, H, W), grey levels in 0 to 1.
        ranges: How far the changes go.
        generator: Source of the draws, on the device of `levels`; the global one if None.

    Returns:
        float (B, 1, H, W) in 0 to 1. What is turned or moved in from outside the film is black.
    """

    def uniform(low: float, high: float) -> torch.Tensor:
        draw = torch.rand(len(levels), generator=generator, device=levels.device)
        return draw * (high - low) + low

    levels = _move(levels, ranges, uniform)
    levels = _change_tones(levels, ranges, uniform)
    levels = _blur(levels, uniform(0, 1) < ranges.blur_prob)
    levels = _erase(levels, uniform(0, 1) < ranges.erase_prob, uniform)
    # Last, because it takes as many draws as there are pixels: all else is then the same at any size.
    std = uniform(0, ranges.noise).view(-1, 1, 1, 1)
    noise = torch.randn(levels.shape, generator=generator, device=levels.device)
    return (levels + noise * std).clamp_(0, 1)


def _move(levels, ranges, uniform):
    """Rotation, zoom, stretch, shift and flip in one resampling; a film is blurred only once."""
    angle = uniform(-ranges.rotate_deg, ranges.rotate_deg) * math.pi / 180
    zoom, stretch = uniform(-ranges.zoom, ranges.zoom), uniform(-ranges.stretch, ranges.stretch) / 2
    scale_x, scale_y = torch.exp(zoom + stretch), torch.exp(zoom - stretch)
    flip = 1 - 2 * (uniform(0, 1) < ranges.flip_prob).float()
    # affine_grid takes the map from output to input places, hence the inverse scales; its unit is
    # half a width, hence the shift doubled.
    row_x = [flip * angle.cos() / scale_x, -angle.sin() / scale_x, 2 * uniform(-ranges.shift, ranges.shift)]
    row_y = [flip * angle.sin() / scale_y, angle.cos() / scale_y, 2 * uniform(-ranges.shift, ranges.shift)]
    theta = torch.stack([torch.stack(row_x, 1), torch.stack(row_y, 1)], 1)
    grid = F.affine_grid(theta, list(levels.shape), align_corners=False)
    return F.grid_sample(levels, grid, padding_mode="zeros", align_corners=False)


def _change_tones(levels, ranges, uniform):
    gamma = torch.exp(uniform(-ranges.gamma, ranges.gamma)).view(-1, 1, 1, 1)
    contrast = torch.exp(uniform(-ranges.contrast, ranges.contrast)).view(-1, 1, 1, 1)
    brightness = uniform(-ranges.brightness, ranges.brightness).view(-1, 1, 1, 1)
    levels = levels.clamp(1e-4, 1) ** gamma
    mean = levels.mean((1, 2, 3), keepdim=True)
    return (levels - mean) * contrast + mean + brightness


def _blur(levels, chosen):
    """A binomial 5 x 5 blur, about a Gaussian of one pixel's standard deviation."""
    if not chosen.any():
        return levels
    kernel = torch.tensor([1.0, 4, 6, 4, 1], device=levels.device).div_(16)
    padded = F.pad(levels[chosen], (2, 2, 2, 2), mode="replicate")
    blurred = F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))
    levels = levels.clone()
    levels[chosen] = blurred
    return levels


def _erase(levels, chosen, uniform):
    """Blanks a rectangle of up to 40 % of each side with one grey level."""
    height, width = levels.shape[-2:]
    rows = torch.arange(height, device=levels.device).view(1, -1, 1) / height
    columns = torch.arange(width, device=levels.device).view(1, 1, -1) / width
    top, left = uniform(-0.2, 1).view(-1, 1, 1), uniform(-0.2, 1).view(-1, 1, 1)
    tall, wide = uniform(0.1, 0.4).view(-1, 1, 1), uniform(0.1, 0.4).view(-1, 1, 1)
    inside = (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)
    inside &= chosen.view(-1, 1, 1)
    return torch.where(inside.unsqueeze(1), uniform(0, 1).view(-1, 1, 1, 1), levels)
