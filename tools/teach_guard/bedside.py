"""How films that are taken at the bedside differ: what the guard must not take for faults.

The framing is wide and the exposure uneven, lungs are white with disease, lines and letters lie over them.
"""

import math
import string

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

SHARE = 0.25
"""Of the films, to which each change happens."""


def make_bedside(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Films, float (B, 1, S, S) in 0 to 1, some of them changed in one or several of these ways."""
    films = films.clone()
    for change in (whiten, overlay, widen, expose_unevenly):
        chosen = torch.rand(len(films), generator=generator) < SHARE
        if chosen.any():
            films[chosen] = change(films[chosen], generator)
    return films


def widen(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The film on 50 to 95 % of each side; about it neck, arms and belly, as far as its rim tells them."""
    draw = _make_draw(films, generator)
    tall, wide, y, x = draw(0.5, 0.95), draw(0.6, 0.95), *_make_places(films)
    # Inside the film both are -1 to 1. More is added below than above it.
    y = (y + (1 - tall) * draw(0, 1)) / tall
    x = (x + (1 - wide) * draw(-0.7, 0.7)) / wide
    grid = torch.stack([x.expand_as(films)[:, 0], y.expand_as(films)[:, 0]], 3)
    seen = F.grid_sample(films, grid, padding_mode="border", align_corners=False)
    belly = ((y - 1) / 0.4).clamp(0, 1)
    air = ((x.abs() - 1) / 0.4).clamp(0, 1) * draw(0, 1)
    shoulders = ((-1 - y) / 0.3).clamp(0, 1) * ((x.abs() - draw(0.2, 0.4)) / 0.1).clamp(0, 1)
    tissue = draw(0.5, 1) + 0.1 * _make_clouds(films, generator)
    return ((seen + (tissue - seen) * belly) * (1 - air) * (1 - shoulders)).clamp(0, 1)


def whiten(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A soft patch, up to a whole lung, as light as dense tissue."""
    draw, (y, x) = _make_draw(films, generator), _make_places(films)
    away = ((x - draw(-0.6, 0.6)) / draw(0.2, 0.6)) ** 2 + ((y - draw(-0.6, 0.8)) / draw(0.2, 0.9)) ** 2
    weight = draw(0.4, 1) * (-(away**2)).exp()
    level = draw(0.6, 1) + 0.05 * _make_clouds(films, generator)
    return films + (level - films).clamp_min(0) * weight


def expose_unevenly(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Half of the film darker than the other, a strong gain curve, and both ends of the range lost."""
    draw, (y, x) = _make_draw(films, generator), _make_places(films)
    angle = draw(0, 2 * math.pi)
    shade = torch.sigmoid(5 * (x * angle.cos() + y * angle.sin() - draw(-0.6, 0.6)))
    films = (films * (1 - draw(0, 0.8) * shade)).clamp_min(1e-4) ** draw(-0.5, 0.5).exp()
    low, high = films.amin((2, 3), keepdim=True), films.amax((2, 3), keepdim=True)
    films = (films - low) / (high - low).clamp_min(1e-3)
    return ((films - draw(0, 0.1)) / draw(0.6, 0.9)).clamp(0, 1)


def overlay(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Tubes, electrodes and letters, lighter than what is under them."""
    seeds = torch.randint(2**31, (len(films),), generator=generator).tolist()
    drawn = [_draw_lines(np.random.default_rng(seed), films.shape[-1]) for seed in seeds]
    return torch.maximum(films, torch.from_numpy(np.stack(drawn))[:, None] / 255)


def _draw_lines(rng: np.random.Generator, size: int) -> np.ndarray:
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(5)):  # each turns a little at every step
        ways = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.3, 20).cumsum()
        steps = np.stack([np.cos(ways), np.sin(ways)], 1).cumsum(0) * rng.uniform(0.02, 0.06) * size
        path = (rng.uniform(0, size, 2) + steps).ravel().tolist()
        draw.line(path, int(rng.integers(120, 256)), int(rng.integers(1, 3)))
    for _ in range(rng.integers(5)):
        (x, y), radius = rng.uniform(0, size, 2), rng.uniform(0.01, 0.04) * size
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], int(rng.integers(120, 256)))
    for _ in range(rng.integers(4)):
        text = "".join(rng.choice(list(string.ascii_uppercase), rng.integers(1, 9)))
        font = ImageFont.load_default(int(rng.integers(5, 16)))
        draw.text(tuple(rng.uniform(0, 0.9 * size, 2)), text, int(rng.integers(150, 256)), font)
    return np.array(image)


def _make_draw(films: torch.Tensor, generator: torch.Generator):
    """Draws a number for each film, evenly between two others, float (B, 1, 1, 1)."""
    return lambda low, high: low + (high - low) * torch.rand(len(films), 1, 1, 1, generator=generator)


def _make_places(films: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (S, 1) and columns (S,) from -1 to 1."""
    line = (torch.arange(films.shape[-1]) + 0.5) / films.shape[-1] * 2 - 1
    return line[:, None], line


def _make_clouds(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Smooth noise of standard deviation about 1, like films."""
    grain = torch.randn(len(films), 1, 6, 6, generator=generator)
    return F.interpolate(grain, films.shape[2:], mode="bicubic")
