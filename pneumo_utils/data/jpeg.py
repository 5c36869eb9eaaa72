"""What a JPEG says about itself, read without decoding it: its size, its scans and whether it ends.

Serves JPEG files and the JPEG and JPEG-LS frames inside DICOM.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pneumo_utils.data.limits import MAX_PIXELS, UNREADABLE, check_count
from pneumo_utils.errors import ImageError

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
    """Height and width in pixels, bits per sample, samples per pixel, the number of the marker that says
    how it is coded, and where the end marker lies."""

    height: int
    width: int
    bits: int
    samples: int
    coding: int
    end: int


def read_jpeg_header(data: bytes) -> JpegHeader:
    """The header of a JPEG or JPEG-LS stream.

    Args:
        data: The stream from its first byte; what follows its end marker plays no part.

    Raises:
        ImageError: There is no end marker, no frame, or there are more segments than any film has.
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
    """Nothing, if the pixels come from the data to the last one.

    A decoder that meets the end marker too early fills the rest and says nothing. A baseline decoder fills
    it with the middle grey: where the last block is not all of that, the data reached it. Otherwise the
    film is decoded once more with bytes inserted before the end marker: they change a film that was cut
    short and no other.

    Args:
        data: The stream that starts at its first byte.
        header: Its header.
        pixels: What it was decoded to, (H, W) or (H, W, C), perhaps at a half, a quarter or an eighth.
        decode: The way from the stream to `pixels`.

    Raises:
        ImageError: Part of the pixels is filled in.
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
