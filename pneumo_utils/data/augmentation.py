"""Augmentation of training films, and stress validation: validation films changed in such ways.

A model that reads the stretch or the tones of the training series scores close to 1 on plain validation
films, which come from it. The epoch is therefore chosen on changed copies, from fixed seeds, the same for
every recipe of one image size, and the thresholds on these and the plain ones together.
"""

import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import equalize

from pneumo_utils.config import Augmentation
from pneumo_utils.data.dataset import XrayDataset, make_films

STRESS = Augmentation(
    rotate_deg=15,
    zoom=0.2,
    stretch=0.4,
    shift=0.1,
    flip_prob=0.0,
    brightness=0.15,
    contrast=0.4,
    gamma=0.4,
    blur_prob=0.3,
    noise=0.05,
    erase_prob=0.3,
    corner_prob=0.3,
    border_prob=0.3,
    equalise_prob=0.1,
)
# The ellipse at the left of the lung mask, as shares of width and height; its top leans towards the spine.
CENTRE = (0.285, 0.49)
HALF_AXES = (0.18, 0.40)
TILT_DEG = 12.0
NUM_VIEWS = 3
BATCH_SIZE = 256


def make_lung_mask(size: int) -> np.ndarray:
    """A rough lung field, bool (size, size): two ellipses that fit most frontal films resized to a square.

    They were drawn by hand over the mean of 5,840 films of ChestXRay2017: generous at the flanks and towards
    the heart, short of the deepest corners behind the diaphragm, mirror-symmetric. Where a child lies askew
    or was cropped, lung stays outside: what is read there is no proof of a shortcut, only a strong hint.
    """
    line = (np.arange(size) + 0.5) / size
    x = np.minimum(line, 1 - line)[None, :] - CENTRE[0]  # folded at the middle: one ellipse does for both
    y = line[:, None] - CENTRE[1]
    cos, sin = math.cos(math.radians(TILT_DEG)), math.sin(math.radians(TILT_DEG))
    across, along = x * cos + y * sin, y * cos - x * sin
    return (across / HALF_AXES[0]) ** 2 + (along / HALF_AXES[1]) ** 2 <= 1


def augment_films(
    levels: torch.Tensor, ranges: Augmentation, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Random changes to a batch of grey levels, float (B, 1, H, W) in 0 to 1, a draw for each film.

    `generator` is on the device of `levels`, the global one if None. What is turned or moved in from outside
    the film is black.
    """

    def uniform(low: float, high: float) -> torch.Tensor:
        draw = torch.rand(len(levels), generator=generator, device=levels.device)
        return draw * (high - low) + low

    if ranges.outside_prob > 0:
        levels = _swap_outside(levels, uniform(0, 1) < ranges.outside_prob)
    levels = _move(levels, ranges, uniform)
    levels = _change_some(levels, uniform(0, 1) < ranges.equalise_prob, _equalise)
    levels = _change_tones(levels, ranges, uniform)
    levels = _change_some(levels, uniform(0, 1) < ranges.blur_prob, _blur)
    levels = _paint(levels, ranges.erase_prob, uniform, _find_rectangle)
    levels = _paint(levels, ranges.corner_prob, uniform, _find_corner)
    levels = _paint(levels, ranges.border_prob, uniform, _find_frame)
    # Last, because it takes as many draws as there are pixels: all else is then the same at any size.
    std = uniform(0, ranges.noise).view(-1, 1, 1, 1)
    noise = torch.randn(levels.shape, generator=generator, device=levels.device)
    return (levels + noise * std).clamp_(0, 1)


def _swap_outside(levels, chosen):
    """All but the lungs of the films with those `chosen`, bool (B,), from the next film of the batch."""
    lungs = torch.from_numpy(make_lung_mask(levels.shape[-1])).to(levels.device)
    return torch.where(chosen.view(-1, 1, 1, 1) & ~lungs, levels.roll(-1, 0), levels)


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


def _change_some(levels, chosen, change):
    """The films with those `chosen`, bool (B,), changed."""
    if not chosen.any():
        return levels
    levels = levels.clone()
    levels[chosen] = change(levels[chosen])
    return levels


def _blur(levels):
    """A binomial 5 x 5 blur, about a Gaussian of one pixel's standard deviation."""
    kernel = torch.tensor([1.0, 4, 6, 4, 1], device=levels.device).div_(16)
    padded = F.pad(levels, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))


def _equalise(levels):
    """Spreads each film's grey levels evenly over the range."""
    return equalize((levels * 255).round().to(torch.uint8)).to(levels.dtype) / 255


def _paint(levels, prob, uniform, find_area):
    """One grey level a film, drawn from the whole range, over an area, bool (B, H, W), of some films."""
    chosen = uniform(0, 1) < prob
    area = find_area(levels, uniform) & chosen.view(-1, 1, 1)
    return torch.where(area.unsqueeze(1), uniform(0, 1).view(-1, 1, 1, 1), levels)


def _find_rectangle(levels, uniform):
    """Anywhere, up to 40 % of each side."""
    top, left = uniform(-0.2, 1), uniform(-0.2, 1)
    tall, wide = uniform(0.1, 0.4), uniform(0.1, 0.4)
    return _is_inside(levels, top, top + tall, left, left + wide)


def _find_corner(levels, uniform):
    """One of the four corners, up to a quarter of each side, where letters are burned in."""
    tall, wide = uniform(0.05, 0.25), uniform(0.05, 0.25)
    top = torch.where(uniform(0, 1) < 0.5, torch.zeros_like(tall), 1 - tall)
    left = torch.where(uniform(0, 1) < 0.5, torch.zeros_like(wide), 1 - wide)
    return _is_inside(levels, top, top + tall, left, left + wide)


def _find_frame(levels, uniform):
    """Each side of its own width of up to a tenth, as shutters and margins have."""
    top, left, bottom, right = (uniform(0, 0.1) for _ in range(4))
    return ~_is_inside(levels, top, 1 - bottom, left, 1 - right)


def _is_inside(levels, top, bottom, left, right):
    """bool (B, H, W): which pixels lie in each film's rectangle, given in shares of height and width."""
    height, width = levels.shape[-2:]
    rows = (torch.arange(height, device=levels.device).view(1, -1, 1) + 0.5) / height
    columns = (torch.arange(width, device=levels.device).view(1, 1, -1) + 0.5) / width
    top, bottom, left, right = (side.view(-1, 1, 1) for side in (top, bottom, left, right))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def make_stress_films(val: XrayDataset, *, num_views: int = NUM_VIEWS) -> XrayDataset:
    """V = `num_views` changed copies of each of N validation films: V * N films, view after view."""
    shown = make_films(num_views * len(val), *val.images.shape[1:])
    for view in range(num_views):
        for start in range(0, len(val), BATCH_SIZE):
            place = view * len(val) + start
            # A generator for each batch: films of any size get the same changes; grain and blur count pixels.
            draws = torch.Generator().manual_seed(place)
            levels = torch.from_numpy(val.images[start : start + BATCH_SIZE]).unsqueeze(1) / 255
            levels = augment_films(levels, STRESS, generator=draws)
            shown[place : place + len(levels)] = (levels[:, 0] * 255).round().to(torch.uint8).numpy()
    empty = replace(val, images=np.empty((len(val), 0, 0), np.uint8))
    return replace(empty.select(np.tile(np.arange(len(val)), num_views)), images=shown)
