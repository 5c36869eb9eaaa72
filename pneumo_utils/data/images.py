"""Bytes become grey pixels here and nowhere else; DICOM has two modules of its own."""

import io
import itertools
import math
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pneumo_utils.config import MAX_BYTES
from pneumo_utils.data.grey_scale import standardise
from pneumo_utils.errors import ImageError
from pneumo_utils.runtime import Silence

READ_VERSION = 2  # part of the cache key: raise it whenever the same file would give other pixels
IMAGE_SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom"})
START_BYTES = 132  # of a file tell its kind
MIN_SIDE, MAX_PIXELS = 16, 30_000_000  # a large digital film has 18 million; more would not fit in 1 GB
MAX_SCANNED = 3_000_000_000  # pixels times scans: each scan of a progressive JPEG goes over all of them
STRIP_PIXELS = 1_000_000  # gone over at a time
# Of group 2 or 8, then a type of two letters or a short value, in both orders of bytes.
_FIRST_ELEMENT = re.compile(rb"[\x02\x08]\0.\0([A-Z]{2}|..\0\0)|\0[\x02\x08]\0.[A-Z]{2}", re.DOTALL)
LIBRARIES = Silence("PIL", "pydicom", "tifffile", "imagecodecs")
CUT_SHORT = "The data is cut short; download or export the file again."
UNREADABLE = "The data is damaged, cut short or of a rare kind; export the film anew."
SEVERAL = "The file holds several frames or pages; export the one film as PNG or JPEG."
STRANGE = "This is no JPEG, PNG, BMP, TIFF or WEBP image and no DICOM; export the film as PNG or JPEG."
TOO_SLOW = "The image takes too long to read; export the film as PNG."


class LoadedFilm(NamedTuple):
    """What a model and its guard see of one image, decoded once."""

    squashed: np.ndarray  # uint8 (S, S), as `load_image` gives it
    unsquashed: np.ndarray  # uint8 (h, w), as read: whole, or a JPEG at a half, a quarter or an eighth
    size: tuple[int, int]  # height and width of the whole image, pixels
    notes: tuple[str, ...]  # what a DICOM file says of itself that a reader must know, in sentences


def load_image(source, *, image_size: int | None = None, preset: str = "grey") -> np.ndarray:
    """One image as a grey array, uint8 (H, W) or (image_size, image_size); 0 is black and 255 white.

    Colour becomes its luma, transparent parts become black, more than 8 bits are stretched as `stretch`
    says, and a camera's rotation tag is obeyed. A DICOM film is shown as `read_dicom` says.

    Args:
        source: The file's bytes (bytes, bytearray or memoryview), its path (str or Path), or pixels:
            an array (H, W) of uint8, uint16 or float, or (H, W, 3) or (H, W, 4) of uint8.
        image_size: Side in pixels to which the image is squashed, its aspect given up; None keeps its size.
        preset: "percentile" puts the image on the grey scale of `standardise`, before it is squashed.

    Raises:
        ImageError: The image is not one film that can be read; the message says why and what to do.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size is {image_size}; expected a number of pixels, 1 or more, or None.")
    if image_size is not None:
        return load_film(source, image_size=image_size, preset=preset).squashed
    grey, *_ = _load_grey(source, draft_size=None)
    return standardise(grey) if preset == "percentile" else grey


def load_film(source, *, image_size: int, preset: str = "grey") -> LoadedFilm:
    """One image squashed to a square of S = `image_size` pixels; takes and raises what `load_image` does."""
    grey, size, notes = _load_grey(source, draft_size=2 * image_size)
    film = standardise(grey) if preset == "percentile" else grey
    if film.shape != (image_size, image_size):
        # Pillow widens the filter when it shrinks, so fine lines and compression blocks do not alias.
        film = np.array(Image.fromarray(film).resize((image_size, image_size), Image.Resampling.BILINEAR))
    return LoadedFilm(film, grey, size, notes)


def read_bytes(source) -> bytes:
    """The bytes of an image file; raises ImageError if it is missing, empty, or above `MAX_BYTES`."""
    if isinstance(source, (str, Path)):
        source = _read_file(source)
    if memoryview(source).nbytes == 0:
        raise ImageError("The file is empty; download or export it again.")
    check_count(memoryview(source).nbytes, MAX_BYTES, "bytes")
    return bytes(source)


def _read_file(path: str | Path) -> bytes:
    try:
        path = Path(path)
        if path.is_file():  # a pipe or a device may never come to an end
            check_count(path.stat().st_size, MAX_BYTES, "bytes")
            return path.read_bytes()
        reason = "This is a folder" if path.is_dir() else "This is not a file of its own"
        reason = reason if path.exists() else "There is no such file"
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a link that points at itself
        raise ImageError("The file cannot be opened; check its name and that you may read it.") from error
    raise ImageError(f"{reason}; give the path of one image file.")


def check_count(count: int, limit: int, unit: str) -> None:
    """Raises ImageError if there is more of something than is read."""
    if count > limit:
        raise ImageError(f"The image has {count:,} {unit}, at most {limit:,} are read; export it smaller.")


def check_size(height: int, width: int) -> None:
    """Raises ImageError if an image of this many pixels is too small or too large."""
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"The image is {width} x {height} pixels, sides need {MIN_SIDE}; export it larger.")
    check_count(height * width, MAX_PIXELS, "pixels")


def is_dicom(start: bytes) -> bool:
    """Whether a file that begins with these `START_BYTES` is DICOM, with its preamble or without."""
    # The 128 bytes before the mark may be anything, a TIFF's header too.
    return start[128:132] == b"DICM" or _FIRST_ELEMENT.match(start) is not None


def find_reader(start: bytes) -> Callable | None:
    """What decodes a file that starts with these bytes, 12 or more; None for none of the five formats."""
    is_text = start.startswith(b"BM") and start[15:18] != bytes(3)  # no BMP has so large a header
    if is_text or (start.startswith(b"RIFF") and start[8:12] != b"WEBP"):
        return None
    return next((reader for magics, reader in _READERS.items() if start.startswith(magics)), None)


def _load_grey(source, *, draft_size: int | None) -> tuple[np.ndarray, tuple[int, int], tuple[str, ...]]:
    """uint8 (H, W), the whole image's size and notes; a JPEG far above `draft_size` at a half, 1/4 or 1/8."""
    if isinstance(source, np.ndarray):
        return _grey_from_array(source), source.shape[:2], ()
    data = read_bytes(source)
    if is_dicom(data[:START_BYTES]):
        from pneumo_utils.data.dicom import read_dicom

        with LIBRARIES:
            grey, notes = read_dicom(data)
        return grey, grey.shape, notes
    read = find_reader(data)
    if read is None:
        raise ImageError(STRANGE)
    try:
        with LIBRARIES:
            grey, orientation, (height, width) = read(data, draft_size)
    except ImageError:
        raise
    except Exception as error:  # damaged bytes make a decoder fail in a dozen ways, all with one meaning
        raise ImageError(UNREADABLE) from error
    return _turn_upright(grey, orientation), (width, height) if orientation > 4 else (height, width), ()


def _grey_from_array(pixels: np.ndarray) -> np.ndarray:
    is_colour = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.dtype == np.uint8
    is_grey = pixels.ndim == 2 and (pixels.dtype in (np.uint8, "<u2", ">u2") or pixels.dtype.kind == "f")
    if not is_colour and not is_grey:
        expected = "(H, W) uint8, uint16 or float, or (H, W, 3) uint8"
        raise ImageError(f"The array is {pixels.dtype} {pixels.shape}; expected {expected}.")
    check_size(*pixels.shape[:2])
    return to_grey(pixels).copy()


# --- The five formats: each reader gives uint8 (h, w), the rotation tag, and the whole height and width ---


def read_jpeg(data: bytes, draft_size: int | None = None):
    """Raises ValueError where the data ends too early: other decoders fill the rest and say nothing."""
    import simplejpeg

    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    check_size(height, width)
    if data.count(b"\xff\xda") * height * width > MAX_SCANNED:
        raise ImageError(TOO_SLOW)
    # Shrinking inside the decoder is cheap; the antialiased resize gets twice the final size.
    scale = next((s for s in (8, 4, 2) if draft_size and s * draft_size <= min(height, width)), 1)
    smallest = {"min_height": math.ceil(height / scale), "min_width": math.ceil(width / scale)}
    try:
        grey = simplejpeg.decode_jpeg(data, "GRAY", strict=True, **smallest)
    except ValueError as error:
        if "extraneous bytes" not in str(error):
            raise
        end = data.rindex(b"\xff\xd9")  # perhaps what is too much are zeros that fill the file up
        grey = simplejpeg.decode_jpeg(data[:end].rstrip(b"\0") + data[end:], "GRAY", strict=True, **smallest)
    return grey[..., 0], _read_orientation(data[data.find(b"Exif\0\0") :]), (height, width)


def _read_png(data: bytes, draft_size):
    import imagecodecs

    width, height = struct.unpack_from(">II", data, 16)
    check_size(height, width)
    kept, exif, at, kind = [data[:8]], b"", 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data[at : at + 8].ljust(8, b"\0"))
        chunk, at = data[at : at + 12 + length], at + 12 + length
        if len(chunk) < 12 + length:
            raise ImageError(CUT_SHORT)
        if kind == b"acTL":
            raise ImageError(SEVERAL)
        if kind == b"eXIf":
            exif = chunk[8:-4]
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):  # without notes and profiles
            kept.append(chunk)
    return to_grey(imagecodecs.png_decode(b"".join(kept))), _read_orientation(exif), (height, width)


def _read_tiff(data: bytes, draft_size):
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [page.aspage() for page in itertools.islice(file.pages, 10)]
        page = max(pages, key=lambda page: page.imagelength * page.imagewidth)
        height, width, bits = page.imagelength, page.imagewidth, page.bitspersample
        check_size(height, width)
        others = (other for other in pages if other.offset != page.offset and not other.is_reduced)
        if any(2 * max(other.imagelength, other.imagewidth) > max(height, width) for other in others):
            raise ImageError(SEVERAL)  # and no thumbnails of the first
        _check_tiff(page, data)
        pixels = page.asarray(maxworkers=1)
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.shape[:2] != (height, width):
            raise ImageError(UNREADABLE)
        if page.photometric == 3:  # a palette, of 16 bits
            pixels = (np.asarray(page.colormap) >> 8).astype(np.uint8).T[pixels]
        elif page.photometric == 5:  # inks: cyan, magenta, yellow and black
            left = 255 - pixels.astype(np.uint16)
            pixels = ((left[..., :3] * left[..., 3:] + 127) // 255).astype(np.uint8)
        elif bits < 8:
            pixels = pixels.astype(np.uint8) * (255 // (2**bits - 1))
        grey, orientation = to_grey(pixels), page.tags.valueof(274, 1)
    return 255 - grey if page.photometric == 0 else grey, orientation, (height, width)


def _check_tiff(page, data: bytes) -> None:
    """Raises ImageError if a strip or tile is missing, outside the file, too large or of a rare kind."""
    # None, LZW, JPEG, deflate (two numbers) and PackBits. Others, fax codes among them, end early unnoticed.
    if page.compression not in (1, 5, 7, 8, 32946, 32773):
        raise ImageError("The TIFF is compressed in a way that is not read; export the film as PNG.")
    if page.photometric not in (0, 1, 2, 3, 5, 6) or page.samplesperpixel > 4 or page.imagedepth > 1:
        raise ImageError("The TIFF has colours of a rare kind; export the film as PNG.")
    check_count(page.tilewidth * page.tilelength, MAX_PIXELS, "pixels in a tile")
    parts = [data[at : at + count] for at, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    is_whole = len(parts) == math.prod(page.chunked) and all(parts)
    is_whole &= sum(map(len, parts)) == sum(page.databytecounts)
    if not is_whole or (page.compression == 7 and any(b"\xff\xd9" not in part[-4:] for part in parts)):
        raise ImageError(CUT_SHORT)


def _read_bmp(data: bytes, draft_size):
    from PIL.BmpImagePlugin import BmpImageFile

    image = BmpImageFile(io.BytesIO(data))
    check_size(image.height, image.width)
    if image.info.get("compression") in (1, 2):  # it may skip pixels
        raise ImageError("The BMP is run-length coded, which is not read; export the film as PNG.")
    return to_grey(np.asarray(image.convert("RGBA" if image.mode == "RGBA" else "L"))), 1, image.size[::-1]


def _read_webp(data: bytes, draft_size):
    import imagecodecs

    kind, at = data[12:16], 20
    if kind == b"VP8X":
        if data[at] & 2:
            raise ImageError(SEVERAL)
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (at + 4, at + 7))
    elif kind == b"VP8L":
        packed = int.from_bytes(data[at + 1 : at + 5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (at + 6, at + 8))
    check_size(height, width)
    exif = data[data.find(b"EXIF") + 8 :] if kind == b"VP8X" else b""
    return to_grey(imagecodecs.webp_decode(data)), _read_orientation(exif), (height, width)


_READERS = {
    (b"\xff\xd8\xff",): read_jpeg,
    (b"\x89PNG\r\n\x1a\n",): _read_png,
    (b"BM",): _read_bmp,
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"): _read_tiff,
    (b"RIFF",): _read_webp,
}


def _read_orientation(exif: bytes) -> int:
    """The rotation tag of a camera, 1 to 8; one that makes no sense is none, which is 1."""
    notes, orientation = Image.Exif(), 1
    if len(exif) > 8:  # as long as its header, else there is none
        with suppress(Exception):  # a damaged note beside the pixels
            notes.load(exif[:65_536])
            orientation = notes.get(0x0112, 1)
    return orientation if orientation in range(1, 9) else 1


def _turn_upright(grey: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):  # it lies on its side
        grey = grey.T
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    return np.ascontiguousarray(grey)


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W) of pixels (H, W), or (H, W, C): grey and alpha, colour, or colour and alpha."""
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.ndim == 3 and pixels.dtype.kind == "f":
        pixels = pixels @ np.array((0.299, 0.587, 0.114), pixels.dtype)
    elif pixels.ndim == 3:
        pixels = _map_strips(_blend, pixels, pixels.dtype)
    return pixels if pixels.dtype == np.uint8 else stretch(pixels)


def _blend(pixels: np.ndarray) -> np.ndarray:
    """The luma of ITU-R 601 as Pillow rounds it, on black where the pixels are transparent."""
    channels, luma = pixels.shape[2], pixels[..., 0].astype(np.int64)
    if channels > 2:
        luma = (pixels[..., :3].astype(np.int64) @ (19_595, 38_470, 7_471) + 2**15) >> 16
    return luma if channels in (1, 3) else (luma * pixels[..., -1] / np.iinfo(pixels.dtype).max).round()


def stretch(values: np.ndarray) -> np.ndarray:
    """uint8 (H, W): the ends that `find_ends` gives become 0 and 255."""
    low, high = find_ends(values)
    scale = 255 / ((high - low) or 1.0)
    return _map_strips(lambda v: ((v.astype(float) - low) * scale).round().clip(0, 255), values, np.uint8)


def find_ends(values: np.ndarray, *, sample: np.ndarray | None = None) -> tuple[float, float]:
    """The lowest and highest of the values of an image, without dead or hot pixels and unexposed edges.

    These lie beyond Tukey's fences (Exploratory Data Analysis, 1977), here of the middle 80 % of `sample`,
    the values of some pixels, and once as far out as that is wide. Raises ImageError for NaN and infinity.
    """
    ends = float(values.min()), float(values.max())
    if not math.isfinite(ends[1] - ends[0]):  # one NaN or infinity anywhere ends in this difference
        raise ImageError("The image has values that are not finite numbers; replace them before the export.")
    if sample is None:
        sample = values.reshape(-1)[:: 1 + values.size // STRIP_PIXELS]
    low, high = np.quantile(sample.astype(float), (0.1, 0.9))
    inside = values[(values >= 2 * low - high) & (values <= 2 * high - low)]
    return (float(inside.min()), float(inside.max())) if high > low else ends


def _map_strips(work: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, dtype) -> np.ndarray:
    """`work(pixels)`, (H, W) of `dtype`, in strips of rows, so that little memory is needed at once."""
    out, rows = np.empty(pixels.shape[:2], dtype), max(1, STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        out[top : top + rows] = work(pixels[top : top + rows])
    return out
