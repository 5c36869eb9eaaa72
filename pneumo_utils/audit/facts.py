"""What is known of each file of a folder, before any is judged."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from pneumo_utils.data.folders import FilmFile, list_folder
from pneumo_utils.data.images import is_dicom, load_image, read_bytes
from pneumo_utils.data.splits import choose_films
from pneumo_utils.errors import ImageError

FILM_SIZE = 224
"""Height and width, pixels, of the squashed film on which marks are looked for."""
OPENING = 9  # pixels; strokes narrower than this stand out from their surroundings
MIN_STEP = 45  # grey levels that a mark is brighter than its surroundings
MIN_SHARPNESS = 40.0  # grey levels per pixel; ribs and collar bones stay below
HEIGHTS, WIDTHS = (4, 40), (2, 40)  # pixels
MIN_AREA = 8  # pixels
MAX_DEPTH = 0.25  # of the film, from the nearest edge to the middle of a mark
FLAT_RANGE = 16  # grey levels between the darkest and the lightest pixel of an empty line


@dataclass(frozen=True)
class Mark:
    """One bright, sharp-edged thing near the edge of a film.

    Attributes:
        box: Top, left, bottom, right on the squashed film, pixels; the last two are outside.
        sharpness: Mean steepness of its rim, grey levels per pixel.
    """

    box: tuple[int, int, int, int]
    sharpness: float


def find_marks(film: np.ndarray) -> tuple[Mark, ...]:
    """Looks for burned-in letters: small, brighter than what surrounds them, and sharp at the rim.

    Sharpness tells letters from bones, whose edges are soft. Metal has sharp edges too. Judged by eye on
    ChestXRay2017: of 240 marks on 300 films about 195 (four in five) were letters or digits, most others
    fasteners, electrodes and tubes, a few the edge of a bone or of the film. Of 60 films without a mark
    more than half did carry a letter: small, faint or touching bright tissue. So a film with a mark has
    probably something on it, a film without one need not be clean, and a difference between classes may
    be one of size and sharpness.

    Args:
        film: uint8 (224, 224), squashed.

    Returns:
        From top to bottom; empty where nothing was found.
    """
    levels = film.astype(np.float32)
    # Erosion, then dilation: the film without whatever is narrower than the square.
    surroundings = ndimage.maximum_filter(ndimage.minimum_filter(film, OPENING), OPENING)
    parts, _ = ndimage.label(levels - surroundings > MIN_STEP, structure=np.ones((3, 3)))
    steepness = np.hypot(*np.gradient(levels))
    marks = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), start=1):
        box = (rows.start, columns.start, rows.stop, columns.stop)
        if _could_be_letter(box, size=len(film)):
            around = np.s_[max(0, box[0] - 2) : box[2] + 2, max(0, box[1] - 2) : box[3] + 2]
            shape = parts[around] == number
            sharpness = float(steepness[around][_make_rim(shape)].mean())
            if shape.sum() >= MIN_AREA and sharpness >= MIN_SHARPNESS:
                marks.append(Mark(box, sharpness))
    return tuple(marks)


def _could_be_letter(box: tuple[int, int, int, int], *, size: int) -> bool:
    top, left, bottom, right = box
    middle_y, middle_x = (top + bottom) / 2 / size, (left + right) / 2 / size
    is_outside = min(middle_y, middle_x, 1 - middle_y, 1 - middle_x) <= MAX_DEPTH
    is_small = HEIGHTS[0] <= bottom - top <= HEIGHTS[1] and WIDTHS[0] <= right - left <= WIDTHS[1]
    return is_outside and is_small


def _make_rim(shape: np.ndarray) -> np.ndarray:
    """The pixels on either side of the outline."""
    return ndimage.binary_dilation(shape) & ~ndimage.binary_erosion(shape)


def measure_borders(film: np.ndarray) -> tuple[float, float, float, float]:
    """How deep an empty border is at the top, left, bottom and right.

    A line is empty when its grey levels differ by at most 16, whatever the level: black, white or grey.

    Args:
        film: uint8 (H, W).

    Returns:
        Shares of height or width, 0 (no border) to 1 (the film is empty).
    """
    rows, columns = (np.ptp(film, axis=axis) <= FLAT_RANGE for axis in (1, 0))
    return tuple(_leading_share(lines) for lines in (rows, columns, rows[::-1], columns[::-1]))


def _leading_share(empty: np.ndarray) -> float:
    return float(np.argmin(empty) / len(empty)) if not empty.all() else 1.0


THUMBNAIL_SIZE = 64
LUMINANCE_SUM = 3688
"""Sum of the 64 steps of the luminance table in the JPEG standard (ITU-T T.81, table K.1)."""


@dataclass(frozen=True)
class Picture:
    """What a decoded file shows.

    Attributes:
        width: Pixels, as the film is seen (a camera's rotation tag obeyed).
        height: Pixels.
        mode: Pillow's colour mode as stored: "L", "RGB", "I;16" and so on; "DICOM" for such a film.
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
    film = load_image(grey, image_size=FILM_SIZE)
    thumbnail = load_image(film, image_size=THUMBNAIL_SIZE)
    return Picture(
        width=grey.shape[1],
        height=grey.shape[0],
        **_read_header(data),
        mean=mean,
        std=std,
        pixel_hash=hashlib.blake2b(str(grey.shape).encode() + grey.tobytes(), digest_size=16).hexdigest(),
        look_hash=int(str(imagehash.phash(Image.fromarray(thumbnail))), 16),
        marks=find_marks(film),
        borders=measure_borders(film),
        thumbnail=thumbnail,
    )


def _read_header(data: bytes) -> dict:
    """How the pixels are stored in a file that was just found sound."""
    if is_dicom(data):
        return {"mode": "DICOM", "format": "DICOM", "quality": float("nan"), "is_progressive": False}
    header = Image.open(io.BytesIO(data))
    return {
        "mode": header.mode,
        "format": header.format,
        "quality": _estimate_quality(header),
        "is_progressive": bool(header.info.get("progressive")),
    }


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


@dataclass(frozen=True)
class FilmFacts:
    """One film of the table.

    Attributes:
        file: Where it lies and what its name says.
        num_bytes: Size of the file; 0 where it cannot be opened.
        picture: None where the file is damaged.
        damage: Why it cannot be read; empty where it can.
    """

    file: FilmFile
    num_bytes: int
    picture: Picture | None
    damage: str = ""


@dataclass(frozen=True)
class AuditTable:
    """The facts of all films of a folder, sorted by split, class and name."""

    folder: Path
    films: tuple[FilmFacts, ...]
    strays: tuple[tuple[str, str], ...]

    @property
    def readable(self) -> list[FilmFacts]:
        """The films that are not damaged."""
        return [film for film in self.films if film.picture is not None]


def read_facts(folder: Path, *, max_films: int | None = None, num_threads: int | None = None) -> AuditTable:
    """Reads all films of a folder, several at a time, with a progress bar.

    Args:
        folder: Holds the two class folders, or splits that hold them.
        max_films: At most about this many, drawn from the whole folder; None reads all.
        num_threads: 1 or more; None takes what suits the machine. The table is the same.

    Raises:
        PneumoError: As `list_folder`.
    """
    listing = list_folder(folder)
    chosen = choose_films(np.array([file.label for file in listing.films]), max_films)
    with ThreadPoolExecutor(num_threads) as pool:
        films = pool.map(_read_film, [listing.films[index] for index in chosen])
        films = tuple(tqdm(films, total=len(chosen), desc="reading films", leave=False))
    return AuditTable(Path(folder), films, listing.strays)


def _read_film(file: FilmFile) -> FilmFacts:
    data = b""
    try:
        data = read_bytes(file.path)
        return FilmFacts(file, len(data), measure_picture(data))
    except ImageError as error:
        return FilmFacts(file, len(data), None, str(error))
