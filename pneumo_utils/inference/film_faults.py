"""What can be wrong with a real chest film: turned, inverted, several on one, too poor to use."""

import torch
import torch.nn.functional as F


def invert(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Black and white exchanged."""
    return 1 - films


def turn_on_side(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A quarter turn to either side."""
    is_left = (_draw(len(films), generator) < 0.5).view(-1, 1, 1, 1)
    return torch.where(is_left, films.rot90(1, (2, 3)), films.rot90(3, (2, 3)))


def turn_upside_down(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Head down; with or without a mirror, which the network does not tell apart."""
    return films.flip(2)


def put_together(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Two films beside or above each other, or four, with a gap between them."""
    n, _, size, _ = films.shape
    others = [films.roll(shift, 0) for shift in range(4)]
    gap, layout = int(_draw(1, generator) * size / 12), _draw(n, generator).view(-1, 1, 1, 1)
    beside = torch.cat([_fit(f, size, size // 2, gap) for f in others[:2]], 3)
    above = torch.cat([_fit(f, size // 2, size, gap) for f in others[:2]], 2)
    rows = [torch.cat([_fit(f, size // 2, size // 2, gap) for f in others[k : k + 2]], 3) for k in (0, 2)]
    return torch.where(layout < 0.4, beside, torch.where(layout < 0.6, above, torch.cat(rows, 2)))


def put_on_page(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A small film, 30 to 55 % of each side, somewhere on a plain page."""
    n, _, size, _ = films.shape
    pages = _draw(n, generator).round().view(-1, 1, 1, 1).expand_as(films).clone()
    for page, film in zip(pages, films, strict=True):
        height, width = (int(size * (0.3 + 0.25 * _draw(1, generator))) for _ in range(2))
        top = int(_draw(1, generator) * (size - height))
        left = int(_draw(1, generator) * (size - width))
        page[:, top : top + height, left : left + width] = _fit(film[None], height, width, 0)[0]
    return pages


def cut_out(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A part of 25 to 40 % of each side, from anywhere in the film."""
    n = len(films)
    part = 0.25 + 0.15 * _draw(n, generator)
    centre = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - part)[:, None]
    return _look(films, part, centre)


def blur(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As if taken with 5 to 8 pixels a side, smooth in between."""
    side = 5 + int(_draw(1, generator) * 4)
    return F.interpolate(F.adaptive_avg_pool2d(films, side), films.shape[2:], mode="bicubic").clamp(0, 1)


def add_noise(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise in grains of 2 % of a side that leaves little of the film."""
    grain = torch.randn(len(films), 1, 48, 48, generator=generator)
    strength = 0.6 + 0.6 * _draw(len(films), generator).view(-1, 1, 1, 1)
    return (0.5 + 0.3 * (films - 0.5) + strength * F.interpolate(grain, films.shape[2:])).clamp(0, 1)


def expose_badly(films: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """All but the darkest or the lightest eighth of the film is white, or black."""
    share = 0.04 + 0.08 * _draw(len(films), generator)
    flat = films.flatten(1).sort(1).values
    index = (share * (flat.shape[1] - 1)).long()[:, None]
    low, high = (
        x.view(-1, 1, 1, 1) for x in (flat.gather(1, index), flat.gather(1, flat.shape[1] - 1 - index))
    )
    is_dark = _draw(len(films), generator).view(-1, 1, 1, 1) < 0.5
    return torch.where(
        is_dark, (films - high) / (1 - high).clamp_min(0.05), films / low.clamp_min(0.05)
    ).clamp(0, 1)


SEEN_FAULTS = {
    invert: "inverted",
    turn_on_side: "on_side",
    turn_upside_down: "upside_down",
    put_together: "several",
    put_on_page: "several",
    cut_out: "unusable",
    blur: "unusable",
    add_noise: "unusable",
    expose_badly: "unusable",
}
"""Faults to learn from, with their kinds. Each maps float (B, 1, S, S) in 0 to 1 to the same."""


def _draw(n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(n, generator=generator)


def _fit(films, height, width, gap):
    """The films at this height and width, a black gap at two sides of them included."""
    inside = F.interpolate(films, (height - gap, width - gap), mode="bilinear", antialias=True)
    return F.pad(inside, (0, gap, 0, gap))


def _look(films, part, centre):
    zeros = torch.zeros_like(part)
    rows = [torch.stack([part, zeros, centre[:, 0]], 1), torch.stack([zeros, part, centre[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(films.shape), align_corners=False)
    return F.grid_sample(films, grid, align_corners=False)
