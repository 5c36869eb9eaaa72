"""JPEG, PNG, BMP, TIFF and WEBP to grey, by Pillow, and only what of them can be a film."""

import io

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pneumo_utils.data.grey import grey_from_pillow
from pneumo_utils.data.jpeg import JpegHeader, read_jpeg_header, require_all_pixels
from pneumo_utils.data.limits import MAX_PIXELS, SEVERAL, UNREADABLE, check_size
from pneumo_utils.data.png import require_all_rows, require_few_chunks
from pneumo_utils.data.quiet import quiet, quiet_native
from pneumo_utils.data.tiff import require_all_strips, require_small_directory
from pneumo_utils.data.webp import require_small_webp
from pneumo_utils.errors import ImageError

# The readers are called by name. `Image.open` would judge the size first, by a limit that is global to
# the process and with a warning, and it opens a JPEG that carries a preview as an image of two frames.
_JPEG_START = b"\xff\xd8\xff"
_READERS = {
    (_JPEG_START,): JpegImageFile,
    (b"\x89PNG\r\n\x1a\n",): PngImageFile,
    (b"BM",): BmpImageFile,
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"): TiffImageFile,
    (b"RIFF",): WebPImageFile,
}
_LYING = (5, 6, 7, 8)  # values of the rotation tag
MAX_EXIF_BYTES = 70_000  # its entries may share one place too; in a JPEG it has 64 KB at most


def _choose_reader(start: bytes):
    """The reader for a file that starts with these bytes, 12 or more.

    Raises:
        ImageError: It is of none of the five formats.
    """
    reader = next((r for magics, r in _READERS.items() if start.startswith(magics)), None)
    if reader is None or (reader is WebPImageFile and start[8:12] != b"WEBP"):
        raise ImageError(
            "This is no JPEG, PNG, BMP, TIFF or WEBP image and no DICOM; export the film as PNG or JPEG."
        )
    return reader


def decode(data: bytes, *, draft_size: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """The one image in a file.

    Args:
        data: The file.
        draft_size: Let a JPEG much larger than this come at a half, a quarter or an eighth; None: whole.

    Returns:
        uint8 (H, W), turned upright, and the height and width of the whole image, pixels.

    Raises:
        ImageError: What `load_image` says of a file.
    """
    return _guard(data, lambda image, header: _decode(image, header, data, draft_size))


def measure(data: bytes) -> tuple[int, int]:
    """Height and width of the image in a file, as it is stored; raises as `decode`, but decodes nothing."""
    return _guard(data, lambda image, _header: (image.height, image.width))


def _guard(data: bytes, use):
    """What `use` makes of the image in the file; every failure is an ImageError."""
    reader = _choose_reader(data)
    try:
        with quiet:
            return use(*_open(reader, data))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"The image has more than {MAX_PIXELS:,} pixels; export it smaller.") from error
    except Exception as error:  # damaged bytes make a decoder fail in a dozen ways, all with one meaning
        raise ImageError(UNREADABLE) from error


def _open(reader, data: bytes) -> tuple[Image.Image, JpegHeader | None]:
    """The image, undecoded, and the header of a JPEG; what Pillow would take long or much memory for is
    refused before it starts."""
    header = None
    if reader is JpegImageFile:
        header = read_jpeg_header(data)
        check_size(header.height, header.width)
    elif reader is PngImageFile:
        require_few_chunks(data)
    elif reader is TiffImageFile:
        require_small_directory(data)
    elif reader is WebPImageFile:
        require_small_webp(data)
    image = reader(io.BytesIO(data))
    check_size(image.height, image.width)
    if getattr(image, "is_animated", False):
        raise ImageError(SEVERAL)
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
        require_all_strips(image.tag_v2, data)
        with quiet_native:
            image.load()
    grey = grey_from_pillow(image)
    if isinstance(image, PngImageFile):
        require_all_rows(data, grey)
    return 255 - grey if is_white_zero else grey


def _decode_jpeg(image: JpegImageFile, header: JpegHeader, data: bytes, draft_size: int | None) -> np.ndarray:
    def decode_draft(image: JpegImageFile) -> np.ndarray:
        # Shrinking inside the decoder is cheap; the antialiased resize gets twice the final size.
        image.draft("L", draft_size and (draft_size, draft_size))
        return grey_from_pillow(image)

    grey = decode_draft(image)
    require_all_pixels(data, header, grey, lambda data: decode_draft(JpegImageFile(io.BytesIO(data))))
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
