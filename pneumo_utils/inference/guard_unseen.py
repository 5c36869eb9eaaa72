"""Faults and drawings of kinds that the guard never learns from: they are kept for judging it."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter

from pneumo_utils.inference.film_faults import turn_on_side
from pneumo_utils.inference.guard_negatives import make_canvas, to_image


def shuffle_blocks(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Cut into sixteen squares that change places."""
    size = films.shape[2] // 4
    blocks = F.unfold(films, size, stride=size)
    order = torch.randperm(16, generator=generator)
    return F.fold(blocks[:, :, order], 4 * size, size, stride=size)


def make_pixels(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Eight squares a side, each of one grey."""
    return F.interpolate(F.adaptive_avg_pool2d(films, 8), films.shape[2:])


def photograph(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Photographed from the side on a grey wall: a strong perspective, the film 40 % of the picture."""
    size = films.shape[2]
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    depth = 1 + 0.55 * x + 0.25 * y
    grid = torch.stack([1.6 * x / depth + 0.2, 1.6 * y / depth - 0.1], 2).expand(len(films), -1, -1, -1)
    wall = 0.55 + 0.2 * y
    seen = F.grid_sample(films, grid, align_corners=False)
    return torch.where((grid.abs().amax(3) <= 1)[:, None], seen, wall)


def invert_on_side(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Two faults in one."""
    return turn_on_side(1 - films, generator)


def turn_halfway(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turned by an eighth of a circle, with black corners."""
    turn = math.pi / 4
    row = torch.tensor([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]])
    grid = F.affine_grid(row.expand(len(films), 2, 3), list(films.shape), align_corners=False)
    return F.grid_sample(films, grid, align_corners=False)


def draw_code(rng: np.random.Generator, size: int) -> Image.Image:
    """Black and white squares with three corner marks, as on a parcel."""
    n = int(rng.integers(21, 41))
    cells = rng.integers(0, 2, (n, n), dtype=np.uint8) * 255
    mark = np.pad(np.pad(np.zeros((3, 3), np.uint8), 1, constant_values=255), 1)
    for rows, columns in ((slice(7), slice(7)), (slice(7), slice(-7, None)), (slice(-7, None), slice(7))):
        cells[rows, columns] = mark
    return Image.fromarray(np.pad(cells, 2, constant_values=255)).resize(
        (size, size), Image.Resampling.NEAREST
    )


def draw_fractal(rng: np.random.Generator, size: int) -> Image.Image:
    """A Julia set."""
    x, y = np.meshgrid(*[np.linspace(-1.5, 1.5, size)] * 2)
    z, c = x + 1j * y, 0.7885 * np.exp(1j * rng.uniform(0, 2 * np.pi))
    count = np.zeros((size, size))
    for _ in range(40):
        z = np.where(np.abs(z) < 2, z * z + c, z)
        count += np.abs(z) < 2
    return to_image(np.sqrt(count))


def draw_screen(rng: np.random.Generator, size: int) -> Image.Image:
    """A computer's screen: windows with bars, lists and buttons."""
    image, draw = make_canvas(rng, size)
    for _ in range(rng.integers(1, 4)):
        left, top = rng.uniform(0, 0.4, 2) * size
        right, bottom = left + rng.uniform(0.4, 0.8) * size, top + rng.uniform(0.4, 0.8) * size
        draw.rectangle([left, top, right, bottom], int(rng.choice([30, 240, 255])), 128)
        draw.rectangle([left, top, right, top + 0.06 * size], int(rng.integers(40, 160)))
        for y in np.arange(top + 0.12 * size, bottom - 4, 0.06 * size):
            draw.line([left + 6, y, left + 6 + rng.uniform(0.1, 0.8) * (right - left), y], 110, 3)
    return image


def draw_hand(rng: np.random.Generator, size: int) -> Image.Image:
    """Five bright fingers of three bones each above a palm, on black."""
    image = Image.new("L", (size, size), 8)
    draw, foot = ImageDraw.Draw(image), (0.5 * size, 0.9 * size)
    for angle in np.linspace(-0.7, 0.7, 5) + rng.normal(0, 0.05, 5):
        way = np.array([np.sin(angle), -np.cos(angle)]) * size
        draw.line([*foot, *(foot + 0.8 * way)], 70, size // 9)
        for start, end in ((0.25, 0.45), (0.48, 0.62), (0.65, 0.74)):
            draw.line([*(foot + start * way), *(foot + end * way)], int(rng.integers(170, 240)), size // 24)
    return image.filter(ImageFilter.GaussianBlur(1))


UNSEEN_FAULTS = (shuffle_blocks, make_pixels, photograph, invert_on_side, turn_halfway)
"""Each maps films, float (B, 1, S, S) in 0 to 1, to the same."""
UNSEEN_DRAWINGS = (draw_code, draw_fractal, draw_screen, draw_hand)
"""Each draws a grey picture of the size asked for."""
