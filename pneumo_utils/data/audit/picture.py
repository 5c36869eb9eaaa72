"""The facts of one decoded film.

A file is decoded once, by the project's one read path; all that is asked later, of one film or of all
together, is answered from these facts.
"""

import hashlib
import io
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

from pneumo_utils.data.audit.marks import FILM_SIZE, Mark, find_marks, measure_borders
from pneumo_utils.data.image_io import load_image

THUMBNAIL_SIZE = 64
LUMINANCE_SUM = 3688
"""Sum of the 64 steps of the luminance table in the JPEG standard (ITU-T T.81, table K.1)."""


@dataclass(frozen=True)
class Picture:
    """What a decoded file shows.

    Attributes:
        width: Pixels, as the film is seen (a camera's rotation tag obeyed).
        height: Pixels.
        mode: Pillow's colour mode as stored: "L", "RGB", "I;16" and so on.
        format: "JPEG", "PNG" and so on, by content.
        quality: JPEG quality by the file's quantisation table, within 1 from 20 to 100; NaN if no JPEG.
        is_progressive: Whether it is a progressive JPEG.
        mean: Mean grey level, 0 (black) to 255.
        std: Standard deviation of the grey levels.
        pixel_hash: Equal for two files if and only if all grey levels are.
        look_hash: 64-bit perceptual hash; few bits differ where two films look alike.
        marks: Letters and metal near the edge.
        borders: Depth of an empty border at the top, left, bottom and right, shares of the film.
        thumbnail: uint8 (64, 64), squashed.
    """

    width: int
    height: int
    mode: str
    format: str
    quality: float
    is_progressive: bool
    mean: float
    std: float
    pixel_hash: str
    look_hash: int
    marks: tuple[Mark, ...]
    borders: tuple[float, float, float, float]
    thumbnail: np.ndarray


def measure_picture(data: bytes) -> Picture:
    """The facts of one file.

    Args:
        data: The file's bytes.

    Raises:
        ImageError: The file is damaged or of a kind that is not read.
    """
    grey = load_image(data)
    mean, std = _measure_levels(grey)
    header = Image.open(io.BytesIO(data))  # the header only, of a file that was just found sound
    film = load_image(grey, image_size=FILM_SIZE)
    thumbnail = load_image(film, image_size=THUMBNAIL_SIZE)
    return Picture(
        width=grey.shape[1],
        height=grey.shape[0],
        mode=header.mode,
        format=header.format,
        quality=_estimate_quality(header),
        is_progressive=bool(header.info.get("progressive")),
        mean=mean,
        std=std,
        pixel_hash=hashlib.blake2b(str(grey.shape).encode() + grey.tobytes(), digest_size=16).hexdigest(),
        look_hash=int(str(imagehash.phash(Image.fromarray(thumbnail))), 16),
        marks=find_marks(film),
        borders=measure_borders(film),
        thumbnail=thumbnail,
    )


def _measure_levels(grey: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, from the histogram: five times as fast as from the pixels."""
    levels, counts = np.arange(256), np.array(Image.fromarray(grey).histogram())
    mean = (levels * counts).sum() / counts.sum()
    return float(mean), float(np.sqrt(((levels - mean) ** 2 * counts).sum() / counts.sum()))


def _estimate_quality(header: Image.Image) -> float:
    """The quality setting that would scale the standard's table to the file's own.

    Source:
        The Independent JPEG Group's `jpeg_quality_scaling`: 5000 / quality percent below 50, 200 minus
        twice the quality from 50 on.
    """
    tables = getattr(header, "quantization", None)
    if not tables:
        return float("nan")
    percent = 100 * sum(tables[min(tables)]) / LUMINANCE_SUM
    quality = 5000 / percent if percent > 100 else (200 - percent) / 2
    return float(np.clip(round(quality), 1, 100))
