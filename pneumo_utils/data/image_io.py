"""From bytes to one grey array: the only way an image enters the project.

Training, command line and widget all read through `load_image`, so a film looks the same to the model
wherever it comes from. Files may come from anyone: limits are checked before pixels are decoded, the
list of formats is closed, and whatever is wrong with a file ends as one `ImageError`.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pneumo_utils.errors import ImageError

READ_VERSION = 1  # part of the cache key: raise it whenever the same file would give other pixels
IMAGE_SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
MAX_BYTES = 100_000_000
MAX_PIXELS = 80_000_000  # about four times a large digital film
MIN_SIDE = 16
UNREADABLE = "The data is damaged, cut short or of a rare kind; export the film anew."

# The readers are called by name. `Image.open` would judge the size first, by a limit that is global to
# the process and with a warning, and it opens a JPEG that carries a preview as an image of two frames.
_READERS = {
    (b"\xff\xd8\xff",): JpegImageFile,
    (b"\x89PNG\r\n\x1a\n",): PngImageFile,
    (b"BM",): BmpImageFile,
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"): TiffImageFile,
    (b"RIFF",): WebPImageFile,
}


def load_image(source, *, image_size: int | None = None) -> np.ndarray:
    """One image as a grey array.

    Args:
        source: The file's bytes (bytes, bytearray or memoryview), its path (str or Path), or pixels:
            an array (H, W) of uint8, uint16 or float, or (H, W, 3) or (H, W, 4) of uint8.
        image_size: Side in pixels to which the image is squashed, its aspect given up; None keeps its size.

    Returns:
        uint8 (H, W), or (image_size, image_size); 0 is black and 255 white. Colour becomes its luma,
        transparent parts become black, more than 8 bits are stretched from the image's own lowest and
        highest value to 0 and 255, and a camera's rotation tag is obeyed.

    Raises:
        ImageError: The image is missing, empty, too large, too small, damaged, cut short, of several
            frames or of another format; the message says which and what to do.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size is {image_size}; expected a number of pixels, 1 or more, or None.")
    if isinstance(source, np.ndarray):
        grey = _grey_from_array(source)
    else:
        grey = _decode(_read_bytes(source), draft_size=image_size and 2 * image_size)
    if image_size is None or grey.shape == (image_size, image_size):
        return grey
    # Pillow widens the filter when it shrinks, so fine lines and compression blocks do not alias.
    return np.array(Image.fromarray(grey).resize((image_size, image_size), Image.Resampling.BILINEAR))


def measure_image(path: str | Path) -> tuple[int, int]:
    """Height and width of an image file as it is stored, pixels, from its header.

    Args:
        path: A file that `load_image` reads.

    Raises:
        ImageError: There is no such file, or `load_image` would not read it either.
    """
    try:
        with open(path, "rb") as stream:
            reader = _choose_reader(stream.read(12))
            stream.seek(0)
            image = reader(stream)
            return image.height, image.width
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(UNREADABLE) from error


def _choose_reader(start: bytes):
    """The reader for a file that starts with these bytes, 12 or more."""
    reader = next((r for magics, r in _READERS.items() if start.startswith(magics)), None)
    if reader is None or (reader is WebPImageFile and start[8:12] != b"WEBP"):
        raise ImageError("This is no JPEG, PNG, BMP, TIFF or WEBP image; export the film as PNG or JPEG.")
    return reader


def _read_bytes(source) -> bytes:
    if isinstance(source, (str, Path)):
        try:
            path = Path(source)
            if not path.is_file():
                reason = "This is a folder" if path.is_dir() else "There is no such file"
                raise ImageError(f"{reason}; give the path of one image file.")
            _check_count(path.stat().st_size, MAX_BYTES, "bytes")
            source = path.read_bytes()
        except OSError as error:
            raise ImageError("The file cannot be opened; check its name and that you may read it.") from error
    if memoryview(source).nbytes == 0:
        raise ImageError("The file is empty; download or export it again.")
    _check_count(memoryview(source).nbytes, MAX_BYTES, "bytes")
    return bytes(source)


def _check_count(count: int, limit: int, unit: str) -> None:
    if count > limit:
        raise ImageError(f"The image has {count:,} {unit}, at most {limit:,} are read; export it smaller.")


def _check_size(height: int, width: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"The image is {width} x {height} pixels, sides need {MIN_SIDE}; export it larger.")
    _check_count(height * width, MAX_PIXELS, "pixels")


def _decode(data: bytes, *, draft_size: int | None) -> np.ndarray:
    """uint8 (H, W); a JPEG much larger than `draft_size` comes at a half, a quarter or an eighth."""
    if data[128:132] == b"DICM":
        raise ImageError("DICOM files are not read yet; export the film as PNG.")
    reader = _choose_reader(data)
    try:
        image = reader(io.BytesIO(data))
        _check_size(image.height, image.width)
        if getattr(image, "is_animated", False):
            raise ImageError("The file holds several frames or pages; export the one film as PNG or JPEG.")
        if reader is JpegImageFile:
            # The decoder is content once all rows are filled, be it from zeros; the end marker tells.
            if data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) < 0:
                raise ImageError("The JPEG data is cut short; download or export the file again.")
            # Shrinking inside the decoder is cheap; the antialiased resize gets twice the final size.
            image.draft("L", draft_size and (draft_size, draft_size))
        # Pillow turns a TIFF whose 0 is white the right way round if it has 8 bits, but not if it has 16.
        is_white_zero = image.mode == "I;16" and getattr(image, "tag_v2", {}).get(262) == 0
        grey = _grey_from_pillow(ImageOps.exif_transpose(image))
        return 255 - grey if is_white_zero else grey
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"The image has more than {MAX_PIXELS:,} pixels; export it smaller.") from error
    except Exception as error:  # damaged bytes make a decoder fail in a dozen ways, all with one meaning
        raise ImageError(UNREADABLE) from error


def _grey_from_pillow(image: Image.Image) -> np.ndarray:
    if image.mode == "F" or image.mode.startswith("I"):  # `convert` would clip: nearly all turns white
        return _stretch(np.asarray(image))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    if image.mode not in ("L", "RGB"):  # CIELAB cannot go to grey at once
        image = image.convert("RGB")
    return np.array(image.convert("L"))


def _grey_from_array(pixels: np.ndarray) -> np.ndarray:
    is_colour = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.dtype == np.uint8
    is_grey = pixels.ndim == 2 and (pixels.dtype in (np.uint8, np.uint16) or pixels.dtype.kind == "f")
    if not is_colour and not is_grey:
        got = f"{pixels.dtype} {pixels.shape}"
        raise ImageError(f"The array is {got}; expected (H, W) uint8, uint16 or float, or (H, W, 3) uint8.")
    _check_size(*pixels.shape[:2])
    return _stretch(pixels) if pixels.dtype != np.uint8 else _grey_from_pillow(Image.fromarray(pixels))


def _stretch(values: np.ndarray) -> np.ndarray:
    """uint8 of the same shape: the lowest value becomes 0, the highest 255; a single value becomes 0."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(high - low):  # one NaN or infinity anywhere ends in this difference
        raise ImageError("The image has values that are not finite numbers; replace them before the export.")
    return ((values.astype(np.float64) - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)
