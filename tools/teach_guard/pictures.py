"""Drawn and changed pictures from which the guard learns, and others by which it is judged."""

import math
import string

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter, ImageFont


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
    """A small film, 30 to 55 % of each side, somewhere on a page of writing, which is no frame to cut."""
    n, _, size, _ = films.shape
    is_ink = torch.rand(n, 1, size // 4, size // 2, generator=generator) < 0.4
    is_ink[:, :, ::3] = False  # between the lines
    is_light = _draw(n, generator).view(-1, 1, 1, 1) < 0.5
    pages = F.interpolate((is_ink ^ is_light).to(films.dtype), (size, size))
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


def draw_noise(rng: np.random.Generator, size: int) -> Image.Image:
    """Noise in grains from a pixel to a third of the side, even or with hard levels."""
    side = int(np.exp(rng.uniform(np.log(3), np.log(size))))
    grains = Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8))
    return grains.resize((size, size), Image.Resampling(int(rng.choice([0, 2, 3]))))


def draw_gradient(rng: np.random.Generator, size: int) -> Image.Image:
    """Levels that rise along a line, from a centre or in waves."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, size)] * 2)
    a, b, waves = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.5, 12)
    path = [a * x + b * y, np.hypot(x - a, y - b)][rng.integers(2)]
    return to_image([path, np.sin(waves * path), np.sign(np.sin(waves * path))][rng.integers(3)])


def draw_checkers(rng: np.random.Generator, size: int) -> Image.Image:
    """Squares or stripes of two greys."""
    x, y = np.meshgrid(*[np.arange(size)] * 2)
    tall, wide = rng.integers(4, size // 2, 2)
    return to_image(((x // wide + (y // tall) * rng.integers(0, 2)) % 2) * rng.uniform(0.2, 1))


def draw_shapes(rng: np.random.Generator, size: int) -> Image.Image:
    """Ellipses, boxes and lines of random greys over each other."""
    image, draw = make_canvas(rng, size)
    for _ in range(rng.integers(1, 25)):
        box = sorted(rng.uniform(-0.2, 1.2, 2)) + sorted(rng.uniform(-0.2, 1.2, 2))
        box = [size * box[i] for i in (0, 2, 1, 3)]
        shape = [draw.ellipse, draw.rectangle, draw.line, draw.arc][rng.integers(4)]
        shape(box, *([0, 300] if shape == draw.arc else []), fill=int(rng.integers(256)))
    return image.filter(ImageFilter.GaussianBlur(int(rng.choice([0, 0, 1, 4]))))


def draw_limb(rng: np.random.Generator, size: int) -> Image.Image:
    """One or two bright shafts with thick ends in grey flesh on black, at any angle."""
    image = Image.new("L", (size, size), int(rng.integers(0, 25)))
    draw, thick = ImageDraw.Draw(image), rng.uniform(0.08, 0.3) * size
    draw.rounded_rectangle(
        [size / 2 - 1.6 * thick, -9, size / 2 + 1.6 * thick, size + 9], 9, int(rng.integers(50, 120))
    )
    for shift in [0] if rng.random() < 0.5 else [-0.8 * thick, 0.7 * thick]:
        level, joint = int(rng.integers(150, 255)), size * rng.uniform(0.2, 0.8)
        middle = size / 2 + shift
        draw.rectangle([middle - thick / 3, 0, middle + thick / 3, size], level)
        draw.rectangle([middle - thick / 8, 0, middle + thick / 8, size], level - 50)
        draw.ellipse([middle - thick, joint - thick, middle + thick, joint + thick], level - 20)
        draw.line([middle - thick, joint, middle + thick, joint], 60, int(rng.integers(1, 5)))
    image = image.rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2)))


def draw_section(rng: np.random.Generator, size: int) -> Image.Image:
    """A cut through a body: a bright rim round grey tissue with darker and lighter ovals, on black."""
    image = Image.new("L", (size, size), int(rng.integers(0, 20)))
    draw, middle, across, down = ImageDraw.Draw(image), size / 2, *rng.uniform(0.25, 0.49, 2) * size
    draw.ellipse(_box(middle, middle, across, down), int(rng.integers(90, 255)))
    draw.ellipse(_box(middle, middle, 0.92 * across, 0.92 * down), int(rng.integers(60, 180)))
    for _ in range(rng.integers(2, 9)):
        x, y = middle + rng.uniform(-0.5, 0.5) * across, middle + rng.uniform(-0.5, 0.5) * down
        draw.ellipse(_box(x, y, *rng.uniform(0.03, 0.4, 2) * across), int(rng.integers(0, 256)))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2)))


def draw_page(rng: np.random.Generator, size: int) -> Image.Image:
    """Lines of letters, dark on light or the other way."""
    paper, ink = (255, 0) if rng.random() < 0.7 else (0, 255)
    image = Image.new("L", (size, size), paper)
    height = int(rng.integers(5, 26))
    font, letters = ImageFont.load_default(height), list(string.ascii_letters + "     .,")
    for top in range(int(rng.integers(2, 20)), size - 4, int(height * rng.uniform(1.1, 1.8))):
        text = "".join(rng.choice(letters, int(rng.integers(5, 40))))
        ImageDraw.Draw(image).text((int(rng.integers(2, 12)), top), text, ink, font)
    return image


def draw_chart(rng: np.random.Generator, size: int) -> Image.Image:
    """Bars or a curve between two axes."""
    image = Image.new("L", (size, size), 255)
    draw, n = ImageDraw.Draw(image), int(rng.integers(3, 14))
    heights = rng.uniform(0.1, 0.85, n) * size
    xs = np.linspace(0.15, 0.9, n) * size
    if rng.random() < 0.5:
        for x, height in zip(xs, heights, strict=True):
            draw.rectangle([x - 0.3 * size / n, 0.9 * size - height, x + 0.2 * size / n, 0.9 * size], 90)
    else:
        draw.line([*zip(xs, 0.95 * size - heights, strict=True)], 0, int(rng.integers(1, 4)))
    draw.line([0.1 * size, 0.05 * size, 0.1 * size, 0.9 * size, 0.95 * size, 0.9 * size], 0, 2)
    return image


SEEN_DRAWINGS = (
    draw_noise,
    draw_gradient,
    draw_checkers,
    draw_shapes,
    draw_limb,
    draw_section,
    draw_page,
    draw_chart,
)
"""Kinds to learn from."""


def make_canvas(rng: np.random.Generator, size: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A square of one random grey, and the pen for it."""
    image = Image.new("L", (size, size), int(rng.integers(256)))
    return image, ImageDraw.Draw(image)


def _box(x, y, across, down):
    return [x - across, y - down, x + across, y + down]


def to_image(values: np.ndarray) -> Image.Image:
    """Float (H, W) stretched to the whole range of greys; a single value becomes black."""
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) / ((high - low) or 1) * 255).astype(np.uint8))


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
