"""Drawn pictures that are no chest films, for teaching the guard and, of other kinds, for judging it."""

import string

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont


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
