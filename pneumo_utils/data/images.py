"""Bytes become grey pixels here and nowhere else: suffixes, formats, orientation, size."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pneumo_utils.config import MAX_BYTES
from pneumo_utils.data import formats
from pneumo_utils.data.formats import MAX_PIXELS, UNREADABLE, JpegHeader, check_count, check_size
from pneumo_utils.errors import ImageError

READ_VERSION = 1  # part of the cache key: raise it whenever the same file would give other pixels
IMAGE_SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom"})
START_BYTES = 132  # of a file tell its kind
MAX_EXIF_BYTES = 70_000  # its entries may share one place too; in a JPEG it has 64 KB at most
# The readers are called by name. `Image.open` would judge the size first, by a limit that is global to
# the process and with a warning, and it opens a JPEG that carries a preview as an image of two frames.
_READERS = {
    (b"\xff\xd8\xff",): JpegImageFile,
    (b"\x89PNG\r\n\x1a\n",): PngImageFile,
    (b"BM",): BmpImageFile,
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"): TiffImageFile,
    (b"RIFF",): WebPImageFile,
}
_LYING = (5, 6, 7, 8)  # values of the rotation tag


def load_image(source, *, image_size: int | None = None) -> np.ndarray:
    """One image as a grey array, uint8 (H, W) or (image_size, image_size); 0 is black and 255 white.

    Colour becomes its luma, transparent parts become black, more than 8 bits are stretched from the image's
    own lowest and highest value to 0 and 255, and a camera's rotation tag is obeyed. A DICOM film is shown
    as `read_dicom` says: through its own window, bone white.

    Args:
        source: The file's bytes (bytes, bytearray or memoryview), its path (str or Path), or pixels:
            an array (H, W) of uint8, uint16 or float, or (H, W, 3) or (H, W, 4) of uint8.
        image_size: Side in pixels to which the image is squashed, its aspect given up; None keeps its size.

    Raises:
        ImageError: The image is not one film that can be read; the message says why and what to do.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size is {image_size}; expected a number of pixels, 1 or more, or None.")
    if image_size is None:
        return _load_grey(source, draft_size=None)[0]
    return load_film(source, image_size=image_size).squashed


class LoadedFilm(NamedTuple):
    """What a model and its guard see of one image, decoded once."""

    squashed: np.ndarray  # uint8 (S, S), as `load_image` gives it
    unsquashed: np.ndarray  # uint8 (h, w), the whole image, or a JPEG at a half, a quarter or an eighth
    size: tuple[int, int]  # height and width of the whole image, pixels


def load_film(source, *, image_size: int) -> LoadedFilm:
    """One image squashed to a square of S = `image_size` pixels; takes and raises what `load_image` does."""
    grey, size = _load_grey(source, draft_size=2 * image_size)
    if grey.shape == (image_size, image_size):
        return LoadedFilm(grey, grey, size)
    # Pillow widens the filter when it shrinks, so fine lines and compression blocks do not alias.
    small = Image.fromarray(grey).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return LoadedFilm(np.array(small), grey, size)


def read_bytes(source) -> bytes:
    """The bytes of an image file; raises ImageError if it is missing, empty, or above `MAX_BYTES`."""
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


def is_image(start: bytes) -> bool:
    """Whether a file that begins with these `START_BYTES` is of a kind that `load_image` reads."""
    is_text = start.startswith(b"BM") and start[15:18] != bytes(3)  # no BMP has so large a header
    return is_dicom(start) or (not is_text and find_reader(start) is not None)


def is_dicom(start: bytes) -> bool:
    """Whether a file that begins with these `START_BYTES` is DICOM."""
    return start[128:132] == b"DICM"  # the 128 bytes before may be anything, a TIFF's header too


def find_reader(start: bytes):
    """The reader for a file that starts with these bytes, 12 or more; None for none of the five formats."""
    reader = next((r for magics, r in _READERS.items() if start.startswith(magics)), None)
    return None if reader is WebPImageFile and start[8:12] != b"WEBP" else reader


def _load_grey(source, *, draft_size: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """uint8 (H, W) and the whole image's size; a JPEG far above `draft_size` comes at a half, 1/4 or 1/8."""
    if isinstance(source, np.ndarray):
        return _grey_from_array(source), source.shape[:2]
    data = read_bytes(source)
    if not is_dicom(data):
        return _decode_file(data, draft_size)
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


def _decode_file(data: bytes, draft_size: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """The image in a file that is no DICOM, upright, and its whole size; every failure is an ImageError."""
    reader = find_reader(data)
    if reader is None:
        raise ImageError(
            "This is no JPEG, PNG, BMP, TIFF or WEBP image and no DICOM; export the film as PNG or JPEG."
        )
    try:
        with formats.quiet:
            return _decode(*_open(reader, data), data, draft_size)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"The image has more than {MAX_PIXELS:,} pixels; export it smaller.") from error
    except Exception as error:  # damaged bytes make a decoder fail in a dozen ways, all with one meaning
        raise ImageError(UNREADABLE) from error


def _open(reader, data: bytes) -> tuple[Image.Image, JpegHeader | None]:
    """The image, undecoded, and the header of a JPEG; what would take Pillow too much is refused before."""
    header = None
    if reader is JpegImageFile:
        header = formats.read_jpeg_header(data)
        check_size(header.height, header.width)
    elif reader is PngImageFile:
        formats.require_few_chunks(data)
    elif reader is TiffImageFile:
        formats.require_small_directory(data)
    elif reader is WebPImageFile:
        formats.require_small_webp(data)
    image = reader(io.BytesIO(data))
    check_size(image.height, image.width)
    if getattr(image, "is_animated", False):
        raise ImageError(formats.SEVERAL)
    if reader is BmpImageFile and image.info.get("compression") in (1, 2):
        # It may skip pixels, and Pillow reads it pixel by pixel in Python.
        raise ImageError("The BMP is run-length coded, which is not read; export the film as PNG.")
    return image, header


def _decode(image: Image.Image, header: JpegHeader | None, data: bytes, draft_size: int | None):
    if header is None:
        upright = _turn_upright(_decode_stored(image, data), _read_orientation(image))
        return upright, upright.shape
    grey, orientation = _decode_jpeg(image, header, data, draft_size), _read_orientation(image)
    size = (header.width, header.height) if orientation in _LYING else (header.height, header.width)
    return _turn_upright(grey, orientation), size


def _decode_stored(image: Image.Image, data: bytes) -> np.ndarray:
    """What is no JPEG, as it is stored."""
    # Pillow turns a TIFF whose 0 is white the right way round if it has 8 bits, but not if it has 16.
    is_white_zero = image.mode == "I;16" and getattr(image, "tag_v2", {}).get(262) == 0
    if isinstance(image, TiffImageFile):
        formats.require_all_strips(image.tag_v2, data)
        with formats.quiet_native:
            image.load()
    grey = grey_from_pillow(image)
    if isinstance(image, PngImageFile):
        formats.require_all_rows(data, grey)
    return 255 - grey if is_white_zero else grey


def _decode_jpeg(image: JpegImageFile, header: JpegHeader, data: bytes, draft_size: int | None) -> np.ndarray:
    def decode_draft(image: JpegImageFile) -> np.ndarray:
        # Shrinking inside the decoder is cheap; the antialiased resize gets twice the final size.
        image.draft("L", draft_size and (draft_size, draft_size))
        return grey_from_pillow(image)

    grey = decode_draft(image)
    formats.require_all_pixels(data, header, grey, lambda d: decode_draft(JpegImageFile(io.BytesIO(d))))
    return grey


def _read_orientation(image: Image.Image) -> int:
    """The rotation tag of a camera, 1 to 8; one that makes no sense is none, which is 1."""
    try:
        is_small = len(image.info.get("exif", b"")) <= MAX_EXIF_BYTES
        return image.getexif().get(0x0112, 1) if is_small else 1
    except Exception:  # a damaged note beside the pixels
        return 1


def _turn_upright(grey: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in _LYING:
        grey = grey.T
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    return np.ascontiguousarray(grey)


def grey_from_pillow(image: Image.Image) -> np.ndarray:
    """uint8 (H, W): colour as its luma, transparent parts black, wide values stretched."""
    kinds = {"F": np.float32, "I": np.int32}
    kind = kinds.get(image.mode, np.uint16 if image.mode.startswith("I") else np.uint8)
    values = np.empty((image.height, image.width), kind)
    rows = max(1, formats.STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        values[top : top + rows] = np.asarray(strip if kind is not np.uint8 else _to_luma(strip))
    return values if kind is np.uint8 else stretch(values)


def _to_luma(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    if image.mode not in ("L", "RGB"):  # CIELAB cannot go to grey at once
        image = image.convert("RGB")
    return image.convert("L")


def stretch(values: np.ndarray) -> np.ndarray:
    """uint8 (H, W): the lowest value becomes 0, the highest 255; raises ImageError for NaN and infinity."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(high - low):  # one NaN or infinity anywhere ends in this difference
        raise ImageError("The image has values that are not finite numbers; replace them before the export.")
    scale = (high - low) or 1.0
    return formats.map_strips(
        lambda v: ((v.astype(np.float64) - low) / scale * 255).round(), values, np.uint8
    )
