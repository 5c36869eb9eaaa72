"""Changes to films, one function each: as another machine, program or habit might have delivered them.

All take images, uint8 (N, H, W), a strength and a source of draws, and give new images, uint8 (N, H, W).
Lengths are shares of the film's side, so that films of 64 and of 224 pixels are changed alike.
"""

import io
import math

import numpy as np
from PIL import Image
from scipy.ndimage import correlate1d
from scipy.special import ive

from pneumo_utils.evaluation.stretch import stretch_films

JPEG_SIDE = 224
"""Pixels a side at which films are compressed, whatever their size: a block of 8 is then 1/28 of the film."""
BILINEAR = Image.Resampling.BILINEAR


def add_noise(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise, each pixel's own.

    Args:
        images: uint8 (N, H, W).
        strength: Standard deviation of a pixel, grey levels; the grain is as fine as the film's pixels are.
        rng: Of the noise; films take their draws one after the other.
    """
    return _round_levels(images + strength * rng.standard_normal(images.shape, dtype=np.float32))


def blur(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian blur with a standard deviation of `strength` % of height and width; edges are continued.

    Source:
        Lindeberg, IEEE Transactions on Pattern Analysis and Machine Intelligence 12, 1990: the Gaussian of
        whole pixels, whose variance is also right below a pixel, where samples of the usual one fade away.
    """
    levels = images.astype(np.float32)
    for axis in (1, 2):
        sigma = strength / 100 * images.shape[axis]
        radius = math.ceil(4 * sigma) + 1  # beyond, less than a thousandth of the weight
        kernel = ive(np.arange(-radius, radius + 1), sigma**2)
        levels = correlate1d(levels, kernel / kernel.sum(), axis=axis, mode="nearest")
    return _round_levels(levels)


def lose_contrast(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Grey levels `strength` % nearer to the film's own mean, which stays what it is."""
    means = images.mean((1, 2), keepdims=True, dtype=np.float64)
    return _round_levels(means + (1 - strength / 100) * (images - means))


def compress(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """JPEG compression at quality `strength`, a whole number of 1 to 100, of the film at 224 px.

    Films of another size are resized for it, and only what the compression changes is brought back and
    added, so that the resizing blurs nothing.
    """
    return np.stack([_compress_film(film, int(strength)) for film in images])


def _compress_film(film: np.ndarray, quality: int) -> np.ndarray:
    plain, file = Image.fromarray(film).resize((JPEG_SIDE, JPEG_SIDE), Image.Resampling.BICUBIC), io.BytesIO()
    plain.save(file, "JPEG", quality=quality)
    error = np.asarray(Image.open(file), np.float32) - np.asarray(plain, np.float32)
    return _round_levels(film + np.asarray(Image.fromarray(error).resize(film.shape[::-1], BILINEAR)))


def rotate(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Turned about the centre by `strength` degrees, to a side drawn for each film; black where bared."""
    angles = np.where(rng.random(len(images)) < 0.5, strength, -strength)
    films = zip(images, angles, strict=True)
    return np.stack([np.asarray(Image.fromarray(film).rotate(angle, BILINEAR)) for film, angle in films])


def change_aspect(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Width over height, or height over width as drawn for each film, `strength` % larger, the area kept.

    As when films of another aspect are squashed to the square. See `stretch_films` for the edges.
    """
    wide, root = rng.random(len(images)) < 0.5, math.sqrt(1 + strength / 100)
    changed = np.empty_like(images)
    changed[wide] = stretch_films(images[wide], width=root, height=1 / root)
    changed[~wide] = stretch_films(images[~wide], width=1 / root, height=root)
    return changed


def crop(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The middle of the film fills the frame; `strength` %, below 50, of the side are lost at each edge."""
    zoom = 1 / (1 - 2 * strength / 100)
    return stretch_films(images, width=zoom, height=zoom)


def add_border(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The whole film, smaller, in a black frame of `strength` % of the side at each edge, to the pixel."""
    framed = np.zeros_like(images)
    top, left = (round(strength / 100 * side) for side in images.shape[1:])
    inside = framed[:, top : images.shape[1] - top, left : images.shape[2] - left]
    for film, place in zip(images, inside, strict=True):
        place[:] = np.asarray(Image.fromarray(film).resize(place.shape[::-1], BILINEAR))
    return framed


def blend_with_negative(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Mixed with `strength` % of its negative: at 50 all is one grey, at 100 black has become white."""
    share = strength / 100
    return _round_levels((1 - share) * images.astype(np.float64) + share * (255 - images))


def _round_levels(levels: np.ndarray) -> np.ndarray:
    return np.rint(levels).clip(0, 255).astype(np.uint8)
