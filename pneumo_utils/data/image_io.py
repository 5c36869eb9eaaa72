"""From bytes to one grey array: the only way an image enters the project.

Training, command line and widget all read through `load_image`, so a film looks the same to the model
wherever it comes from. Files may come from anyone: limits are checked before pixels are decoded, the
list of formats is closed, and whatever is wrong with a file ends as one `ImageError`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pneumo_utils.data import pillow_image
from pneumo_utils.data.grey import grey_from_pillow, stretch
from pneumo_utils.data.limits import MAX_BYTES, MAX_PIXELS, check_count, check_size
from pneumo_utils.errors import ImageError

__all__ = ["IMAGE_SUFFIXES", "MAX_BYTES", "MAX_PIXELS", "READ_VERSION"]
__all__ += ["load_film", "load_image", "measure_image", "read_bytes"]

READ_VERSION = 1  # part of the cache key: raise it whenever the same file would give other pixels
IMAGE_SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom"})


def load_image(source, *, image_size: int | None = None) -> np.ndarray:
    """One image as a grey array.

    Args:
        source: The file's bytes (bytes, bytearray or memoryview), its path (str or Path), or pixels:
            an array (H, W) of uint8, uint16 or float, or (H, W, 3) or (H, W, 4) of uint8.
        image_size: Side in pixels to which the image is squashed, its aspect given up; None keeps its size.

    Returns:
        uint8 (H, W), or (image_size, image_size); 0 is black and 255 white. Colour becomes its luma,
        transparent parts become black, more than 8 bits are stretched from the image's own lowest and
        highest value to 0 and 255, and a camera's rotation tag is obeyed. A DICOM film is shown as
        `read_dicom` says: through its own window, bone white.

    Raises:
        ImageError: The image is missing, empty, too large, too small, damaged, cut short, of several
            frames or of another format; the message says which and what to do.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size is {image_size}; expected a number of pixels, 1 or more, or None.")
    if image_size is None:
        return _load_grey(source, draft_size=None)[0]
    return load_film(source, image_size=image_size).squashed


class LoadedFilm(NamedTuple):
    """What a model and its guard see of one image, decoded once.

    Attributes:
        squashed: uint8 (S, S), as `load_image` gives it.
        unsquashed: uint8 (h, w), what it was squashed from: the whole image, or a JPEG at a half, a quarter
            or an eighth.
        size: Height and width of the whole image, pixels.
    """

    squashed: np.ndarray
    unsquashed: np.ndarray
    size: tuple[int, int]


def load_film(source, *, image_size: int) -> LoadedFilm:
    """One image squashed to a square, with what the square hides.

    Args:
        source: As for `load_image`.
        image_size: S, pixels, 1 or more.

    Raises:
        ImageError: As for `load_image`.
    """
    grey, size = _load_grey(source, draft_size=2 * image_size)
    if grey.shape == (image_size, image_size):
        return LoadedFilm(grey, grey, size)
    # Pillow widens the filter when it shrinks, so fine lines and compression blocks do not alias.
    small = Image.fromarray(grey).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return LoadedFilm(np.array(small), grey, size)


def measure_image(source) -> tuple[int, int]:
    """Height and width of an image file as it is stored, pixels, from its header.

    Args:
        source: The path or the bytes of a file that `load_image` reads.

    Raises:
        ImageError: There is no such file, or `load_image` would not read it either.
    """
    data = read_bytes(source)
    if not _is_dicom(data):
        return pillow_image.measure(data)
    from pneumo_utils.data.dicom import measure_dicom

    return measure_dicom(data)


def _is_dicom(start: bytes) -> bool:
    return start[128:132] == b"DICM"  # the 128 bytes before may be anything, a TIFF's header too


def _require_file(path: str | Path) -> None:
    """Raises ImageError for what is not an ordinary file; a pipe or a device may never come to an end."""
    try:
        path = Path(path)
        if path.is_file():
            check_count(path.stat().st_size, MAX_BYTES, "bytes")
            return
        reason = "This is a folder" if path.is_dir() else "This is not a file of its own"
        reason = reason if path.exists() else "There is no such file"
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a link that points at itself
        raise ImageError("The file cannot be opened; check its name and that you may read it.") from error
    raise ImageError(f"{reason}; give the path of one image file.")


def read_bytes(source) -> bytes:
    """The bytes of an image file.

    Args:
        source: Its path, or its bytes.

    Raises:
        ImageError: There is no such file, it is empty, or it has more than `MAX_BYTES`.
    """
    if isinstance(source, (str, Path)):
        _require_file(source)
        try:
            source = Path(source).read_bytes()
        except OSError as error:
            raise ImageError("The file cannot be opened; check its name and that you may read it.") from error
    if memoryview(source).nbytes == 0:
        raise ImageError("The file is empty; download or export it again.")
    check_count(memoryview(source).nbytes, MAX_BYTES, "bytes")
    return bytes(source)


def _load_grey(source, *, draft_size: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """uint8 (H, W) and the height and width of the whole image; a JPEG much larger than `draft_size` comes at
    a half, a quarter or an eighth."""
    if isinstance(source, np.ndarray):
        return _grey_from_array(source), source.shape[:2]
    data = read_bytes(source)
    if not _is_dicom(data):
        return pillow_image.decode(data, draft_size=draft_size)
    from pneumo_utils.data.dicom import read_dicom

    grey = read_dicom(data)
    return grey, grey.shape


def _grey_from_array(pixels: np.ndarray) -> np.ndarray:
    is_colour = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.dtype == np.uint8
    is_grey = pixels.ndim == 2 and (pixels.dtype in (np.uint8, "<u2", ">u2") or pixels.dtype.kind == "f")
    if not is_colour and not is_grey:
        got = f"{pixels.dtype} {pixels.shape}"
        raise ImageError(f"The array is {got}; expected (H, W) uint8, uint16 or float, or (H, W, 3) uint8.")
    check_size(*pixels.shape[:2])
    if pixels.dtype != np.uint8:
        return stretch(pixels)
    return grey_from_pillow(Image.fromarray(pixels))
