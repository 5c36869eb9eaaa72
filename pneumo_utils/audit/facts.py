"""The facts of each file of a folder, before any is judged: one table (a pandas DataFrame), a row a film."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image, ImageStat
from scipy import ndimage
from tqdm import tqdm

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.folders import FilmFile, list_folder
from pneumo_utils.data.images import is_dicom, load_image, read_bytes
from pneumo_utils.errors import ImageError

BORDERS = ("border_top", "border_left", "border_bottom", "border_right")
COLUMNS = (
    *("path", "name", "split", "label", "class_name", "subtype", "patient", "series", "tells_patient"),
    *("kilobytes", "damage", "width", "height", "aspect", "mode", "format", "jpeg_quality", "is_progressive"),
    *("mean_intensity", "std_intensity", "pixel_hash", "perceptual_hash", "marks", *BORDERS, "thumbnail"),
)
FILM_SIZE = 224  # pixels, of the squashed film on which marks are looked for
THUMBNAIL_SIZE = 64
LUMINANCE_SUM = 3688  # of the 64 steps of the luminance table in the JPEG standard (ITU-T T.81, table K.1)
OPENING = 9  # pixels; strokes narrower than this stand out from their surroundings
MIN_STEP = 45  # grey levels that a mark is brighter than its surroundings
MIN_SHARPNESS = 40.0  # grey levels per pixel; ribs and collar bones stay below
HEIGHTS, WIDTHS = (4, 40), (2, 40)  # pixels, of a mark
MIN_AREA = 8  # pixels, of a mark
MAX_DEPTH = 0.25  # of the film, from the nearest edge to the middle of a mark
FLAT_RANGE = 16  # grey levels between the darkest and the lightest pixel of an empty line


@dataclass(frozen=True)
class AuditTable:
    """The facts of all films of a folder, a row each, sorted by split, class and place."""

    folder: Path
    films: pd.DataFrame  # what `FilmFile` tells, kilobytes, damage ("" if none), what `measure_picture` tells
    strays: tuple[tuple[str, str], ...]  # (name, reason) of what lies between the films

    @property
    def readable(self) -> pd.DataFrame:
        """The films that are not damaged, numbered anew."""
        return self.films[self.films["damage"] == ""].reset_index(drop=True).infer_objects()


def read_facts(folder: Path, *, num_threads: int | None = None) -> AuditTable:
    """Reads all films of a folder; raises as `list_folder`."""
    listing = list_folder(folder)
    with ThreadPoolExecutor(num_threads) as pool:
        rows = pool.map(_read_film, listing.films)
        rows = list(tqdm(rows, total=len(listing.films), desc="reading films", leave=False))
    return AuditTable(Path(folder), pd.DataFrame(rows, columns=list(COLUMNS)), listing.strays)


def _read_film(file: FilmFile) -> dict:
    row = vars(file) | {"class_name": CLASS_NAMES[file.label], "kilobytes": 0.0, "damage": ""}
    for key in ("patient", "series"):  # from names of files, whose bytes need not be text
        row[key] = row[key].encode(errors="backslashreplace").decode()
    try:
        data = read_bytes(file.path)
        row["kilobytes"] = len(data) / 1000
        return row | measure_picture(data)
    except ImageError as error:
        return row | {"damage": str(error)}


def measure_picture(data: bytes) -> dict:
    """The facts of one picture, from the bytes of its file; an ImageError if it cannot be read.

    Returns:
        width, height, aspect: Pixels, with a camera's rotation tag obeyed; width over height.
        mode, format: Pillow's colour mode as stored, and the kind by content; "DICOM" for such a film.
        jpeg_quality: By the file's quantisation table, within 1 from 20 to 100; NaN if no JPEG.
        mean_intensity, std_intensity: Of the grey levels, 0 (black) to 255.
        pixel_hash: Equal for two files if and only if all grey levels are.
        perceptual_hash: 16 hexadecimal digits; few of 64 bits differ where two films look alike.
        marks, border_*, thumbnail: `find_marks`, `measure_borders`, and uint8 (64, 64), squashed.
    """
    grey = load_image(data)
    film = load_image(grey, image_size=FILM_SIZE)
    thumbnail = load_image(film, image_size=THUMBNAIL_SIZE)
    height, width = grey.shape
    levels = ImageStat.Stat(Image.fromarray(grey))  # from the histogram, so it is fast
    return {
        "width": width,
        "height": height,
        "aspect": width / height,
        **_read_header(data),
        "mean_intensity": levels.mean[0],
        "std_intensity": levels.stddev[0],
        "pixel_hash": hashlib.blake2b(str(grey.shape).encode() + grey.tobytes(), digest_size=16).hexdigest(),
        "perceptual_hash": str(imagehash.phash(Image.fromarray(thumbnail))),
        "marks": find_marks(film),
        **dict(zip(BORDERS, measure_borders(film), strict=True)),
        "thumbnail": thumbnail,
    }


def _read_header(data: bytes) -> dict:
    if is_dicom(data):
        return {"mode": "DICOM", "format": "DICOM", "jpeg_quality": np.nan, "is_progressive": False}
    try:
        header = Image.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError):  # of a kind that is read without Pillow
        header = Image.Image()
    return {
        "mode": header.mode,
        "format": header.format,
        "jpeg_quality": _estimate_quality(header),
        "is_progressive": bool(header.info.get("progressive")),
    }


def _estimate_quality(header: Image.Image) -> float:
    """The quality that scales the standard's table to the file's own; NaN without a table.

    Source: the Independent JPEG Group's `jpeg_quality_scaling`.
    """
    tables = getattr(header, "quantization", None)
    if not tables:
        return np.nan
    percent = 100 * sum(tables[min(tables)]) / LUMINANCE_SUM
    quality = 5000 / percent if percent > 100 else (200 - percent) / 2
    return float(np.clip(round(quality), 1, 100))


def find_marks(film: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Looks for burned-in letters: small, brighter than what surrounds them, and sharp at the rim.

    Sharpness tells letters from bones, whose edges are soft. Judged by eye on ChestXRay2017: of 240 marks
    on 300 films about 195 were letters or digits, most others metal and tubes. Of 60 films without a mark
    more than half did carry a letter: small, faint or touching bright tissue.

    The film is uint8 (224, 224), squashed. Each box, from top to bottom, is top, left, bottom and right in
    pixels, the last two outside.
    """
    levels = film.astype(np.float32)
    narrow = ndimage.white_tophat(film, OPENING)  # what its surroundings do not explain
    parts, _ = ndimage.label(narrow > MIN_STEP, structure=np.ones((3, 3)))
    steepness = np.hypot(*np.gradient(levels))
    marks = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), start=1):
        box = (rows.start, columns.start, rows.stop, columns.stop)
        if _could_be_letter(box, size=len(film)):
            around = np.s_[max(0, box[0] - 2) : box[2] + 2, max(0, box[1] - 2) : box[3] + 2]
            shape = parts[around] == number
            rim = ndimage.binary_dilation(shape) & ~ndimage.binary_erosion(shape)
            if shape.sum() >= MIN_AREA and steepness[around][rim].mean() >= MIN_SHARPNESS:
                marks.append(box)
    return marks


def _could_be_letter(box: tuple[int, int, int, int], *, size: int) -> bool:
    top, left, bottom, right = box
    middle_y, middle_x = (top + bottom) / 2 / size, (left + right) / 2 / size
    is_outside = min(middle_y, middle_x, 1 - middle_y, 1 - middle_x) <= MAX_DEPTH
    is_small = HEIGHTS[0] <= bottom - top <= HEIGHTS[1] and WIDTHS[0] <= right - left <= WIDTHS[1]
    return is_outside and is_small


def measure_borders(film: np.ndarray) -> tuple[float, ...]:
    """How deep an empty border is at the top, left, bottom and right of a film, uint8 (H, W): shares, 0 to 1.

    A line is empty when its grey levels differ by at most 16, whatever the level: black, white or grey.
    """
    rows, columns = (np.ptp(film, axis=axis) > FLAT_RANGE for axis in (1, 0))
    sides = (rows, columns, rows[::-1], columns[::-1])
    return tuple(float(np.argmax(side) / len(side)) if side.any() else 1.0 for side in sides)
