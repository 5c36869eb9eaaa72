"""What must hold of a picture file before it is decoded: limits on size, nothing cut off, no bombs."""

import logging
import os
import re
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pneumo_utils.errors import ImageError

MAX_PIXELS = 30_000_000  # a large digital film has 18 million; more could not be kept within 500 MB
MIN_SIDE = 16
STRIP_PIXELS = 1_000_000  # gone over at a time: an index or a float takes eight bytes for each
UNREADABLE = "The data is damaged, cut short or of a rare kind; export the film anew."
SEVERAL = "The file holds several frames or pages; export the one film as PNG or JPEG."


def check_count(count: int, limit: int, unit: str) -> None:
    """Raises ImageError if there is more of something than is read."""
    if count > limit:
        raise ImageError(f"The image has {count:,} {unit}, at most {limit:,} are read; export it smaller.")


def check_size(height: int, width: int) -> None:
    """Raises ImageError if an image of this many pixels is too small or too large."""
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"The image is {width} x {height} pixels, sides need {MIN_SIDE}; export it larger.")
    check_count(height * width, MAX_PIXELS, "pixels")


def map_strips(work: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, dtype) -> np.ndarray:
    """`work(pixels)`, (H, W) of `dtype`, in strips of rows, so that little memory is needed at once."""
    out = np.empty(pixels.shape, dtype)
    rows = max(1, STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        out[top : top + rows] = work(pixels[top : top + rows])
    return out


# --- What the libraries say ------------------------------------------------------------------------------

_LOGGERS = ("PIL", "pydicom")


class _Silence:
    """A block that several threads may be in: the first one in silences, the last one out restores.

    `warnings.catch_warnings` would leave the filters of one thread behind in another. While anyone is
    inside, other code of the process is not heard either.
    """

    def __init__(self, silence: Callable[[], Callable[[], None]]):
        self._silence, self._lock, self._inside = silence, threading.Lock(), 0

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                self._restore = self._silence()
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore()


def _silence_python() -> Callable[[], None]:
    # An entry of its own: the plain "ignore" may be there already, set by somebody who wants to keep it.
    warnings.filterwarnings("ignore", message=r"[\s\S]*")
    filters, entry = warnings.filters, warnings.filters[0]
    levels = {logger: logger.level for logger in map(logging.getLogger, _LOGGERS)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL + 1)

    def restore():
        if entry in filters:
            filters.remove(entry)
        for logger, level in levels.items():
            logger.setLevel(level)

    return restore


def _silence_native() -> Callable[[], None]:
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without standard error is silent already
        return lambda: None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)

    def restore():
        os.dup2(kept, 2)
        os.close(kept)

    return restore


quiet = _Silence(_silence_python)  # warnings and log records of the image libraries
quiet_native = _Silence(_silence_native)  # what a C library prints on standard error (libtiff does)

# --- JPEG ------------------------------------------------------------------------------------------------

MAX_SEGMENTS = 5_000  # a colour profile of 100 MB would take 1,600
MAX_EXIF_BYTES = 70_000  # Pillow joins several notes of 64 KB, and their entries may share one place
MAX_SCANS = 40  # encoders write up to a dozen; each scan goes over the whole image again
MAX_SCANNED_PIXELS = 300_000_000
MAX_PROGRESSIVE_BYTES = 10_000_000  # where scans refine each other, a byte costs several times as much
TOO_SLOW = "The JPEG has so many scans that it takes too long to read; export it without progressive mode."
CUT_SHORT = "The JPEG data is cut short; download or export the file again."

# Within a scan, FF is followed by 0, in JPEG-LS by a byte below 80, or by the number of a restart.
_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # 0xF7: JPEG-LS
_BASELINE = frozenset({0xC0, 0xC1})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Inserted before the end of a film: where the decoder still wants data, these make other pixels.
_FILLER = bytes((37 * index + 90) % 251 for index in range(512))


@dataclass(frozen=True)
class JpegHeader:
    height: int
    width: int
    bits: int  # of a sample
    samples: int  # of a pixel
    coding: int  # the number of the marker that says how it is coded
    end: int  # where the end marker lies


def read_jpeg_header(data: bytes) -> JpegHeader:
    """The header of a JPEG or JPEG-LS stream; what follows its end marker plays no part.

    Raises ImageError if there is no end marker, no frame, or there are more segments than any film has.
    """
    frame, scans, exif, at = None, 0, 0, 2
    for _ in range(MAX_SEGMENTS):
        match = _MARKER.search(data, at)
        if match is None or (match.end() + 2 > len(data) and match[0] != b"\xff\xd9"):
            raise ImageError(CUT_SHORT)
        marker, at = match[0][1], match.end()
        if marker == 0xD9:
            break
        if marker in _FRAMES and frame is None and at + 8 <= len(data):
            bits, height, width, samples = struct.unpack_from(">BHHB", data, at + 2)
            frame = (height, width, bits, samples, marker)
        scans += marker == 0xDA
        exif += struct.unpack_from(">H", data, at)[0] if data.startswith(b"Exif\0\0", at + 2) else 0
        at += struct.unpack_from(">H", data, at)[0]
    else:
        scans = MAX_SCANS + 1
    if scans > MAX_SCANS:
        raise ImageError(TOO_SLOW)
    if exif > MAX_EXIF_BYTES:
        raise ImageError(UNREADABLE)
    if frame is None or scans == 0:
        raise ImageError(CUT_SHORT)
    header = JpegHeader(*frame, end=match.start())
    check_count(header.height * header.width, MAX_PIXELS, "pixels")
    is_long = header.coding in _PROGRESSIVE and header.end > MAX_PROGRESSIVE_BYTES
    if is_long or scans * header.height * header.width > MAX_SCANNED_PIXELS:
        raise ImageError(TOO_SLOW)
    return header


def require_all_pixels(
    data: bytes, header: JpegHeader, pixels: np.ndarray, decode: Callable[[bytes], np.ndarray]
) -> None:
    """Raises ImageError if part of the pixels does not come from the data.

    A decoder that meets the end marker too early fills the rest and says nothing. A baseline decoder fills
    it with the middle grey: where the last block is not all of that, the data reached it. Otherwise the
    film is decoded once more with bytes inserted before the end marker: they change a film that was cut
    short and no other. `pixels` are (H, W) or (H, W, C), perhaps at a half, a quarter or an eighth.
    """
    sides = zip(pixels.shape[:2], (header.height, header.width), strict=True)
    sizes = (max(1, -(-8 * shown // side)) for shown, side in sides)
    top, left = ((side - 1) // size * size for side, size in zip(pixels.shape[:2], sizes, strict=True))
    is_grey = (pixels[top:, left:] == 2 ** (header.bits - 1)).all()
    if header.coding in _BASELINE and header.samples < 4 and not is_grey:
        return
    again = decode(data[: header.end] + _FILLER + data[header.end :])
    if not np.array_equal(again, pixels):
        raise ImageError(CUT_SHORT)


# --- PNG -------------------------------------------------------------------------------------------------

PNG_CUT_SHORT = "The PNG data is cut short; download or export the file again."
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"  # the last chunk is empty, so its checksum is always this
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Of an interlaced image: the first row and column of each pass, and the steps down and to the right.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
MAX_CHUNKS = 50_000  # encoders cut 30 MB into some thousands
_BLOCK = 1_000_000


def require_few_chunks(data: bytes) -> None:
    """Raises ImageError for a file in very many parts, over which Pillow goes one by one."""
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise ImageError("The PNG has more parts than any film; export the film anew.")


def require_all_rows(data: bytes, grey: np.ndarray) -> None:
    """Raises ImageError if the last chunk or rows are missing; counts where the end of `grey` is flat."""
    if _END not in data:
        raise ImageError(PNG_CUT_SHORT)
    if all((row != row[0]).any() for row in grey[-2:]):  # the last pass of an interlaced image skips a row
        return
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    missing = _count_bytes(width, height, depth * _SAMPLES[colour], bool(interlace))
    engine = zlib.decompressobj()
    for part in _iterate_data(data):
        while part and missing > 0 and not engine.eof:
            missing -= len(engine.decompress(part, _BLOCK))
            part = engine.unconsumed_tail
    if missing > 0 and len(engine.flush()) < missing:
        raise ImageError(PNG_CUT_SHORT)


def _count_bytes(width: int, height: int, bits: int, is_interlaced: bool) -> int:
    """What the rows take before they are compressed: each a byte for its filter and its pixels."""
    total = 0
    for top, left, down, right in _PASSES if is_interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return total


def _iterate_data(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            yield data[at + 8 : at + 8 + length]
        at += 12 + length


# --- TIFF ------------------------------------------------------------------------------------------------

MAX_ENTRIES = 500  # a film has about 20
# None, LZW, JPEG, deflate (two numbers) and PackBits. Others, fax codes among them, end early unnoticed.
_COMPRESSIONS = frozenset({1, 5, 7, 8, 32946, 32773})
_JPEG = 7
_TYPES = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}  # by bytes of a value
_SIZES = {kind: size for size, kinds in _TYPES.items() for kind in kinds}


def require_small_directory(data: bytes) -> None:
    """Raises ImageError if the values of the first directory would take more bytes than the file has."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = 43 in data[2:4]
    offset, count, entry = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    (at,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
    (entries,) = struct.unpack_from(order + count, data, at)
    at += struct.calcsize(order + count)
    if entries > MAX_ENTRIES:
        raise ImageError(UNREADABLE)
    total = 0
    for index in range(entries):
        place = at + index * struct.calcsize(order + entry)
        _, kind, values, _ = struct.unpack_from(order + entry, data, place)
        total += values * _SIZES.get(kind, 0)
    if total > len(data):
        raise ImageError(UNREADABLE)


def require_all_strips(tags, data: bytes) -> None:
    """Raises ImageError if a strip or tile is outside the file, cut short, too large or of a rare kind."""
    compression = tags.get(259, 1)
    if compression not in _COMPRESSIONS:
        raise ImageError("The TIFF is compressed in a way that is not read; export the film as PNG.")
    check_count(tags.get(322, 0) * tags.get(323, 0), MAX_PIXELS, "pixels in a tile")
    for start, count in zip(tags.get(273) or tags[324], tags.get(279) or tags[325], strict=True):
        if start + count > len(data):
            raise ImageError(UNREADABLE)
        if compression == _JPEG and read_jpeg_header(data[start : start + count]).end > count:
            raise ImageError(CUT_SHORT)


# --- WebP ------------------------------------------------------------------------------------------------

MAX_WEBP_BYTES = 10_000_000  # Pillow reads 5 MB a second


def require_small_webp(data: bytes) -> None:
    """Raises ImageError for a WEBP that is animated, too large, too small, or long to read."""
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
    if len(data) > MAX_WEBP_BYTES:
        raise ImageError("The WEBP image takes too long to read; export the film as PNG.")
