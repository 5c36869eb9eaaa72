"""What the directory of a TIFF asks for, looked at before Pillow reads it.

Entries may share one place in the file, so that a few of them could ask for more memory than there is.
"""

import struct

from pneumo_utils.data.jpeg import CUT_SHORT, read_jpeg_header
from pneumo_utils.data.limits import MAX_PIXELS, UNREADABLE, check_count
from pneumo_utils.errors import ImageError

MAX_ENTRIES = 500  # a film has about 20
# None, LZW, JPEG, deflate (two numbers) and PackBits. Others, fax codes among them, end early unnoticed.
_COMPRESSIONS = frozenset({1, 5, 7, 8, 32946, 32773})
_JPEG = 7
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


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
    """Nothing, if the decoder need not fill in what is not there.

    Args:
        tags: The directory as Pillow read it.
        data: The file.

    Raises:
        ImageError: A strip or tile is outside the file, cut short, very large or in a rare compression.
    """
    compression = tags.get(259, 1)
    if compression not in _COMPRESSIONS:
        raise ImageError("The TIFF is compressed in a way that is not read; export the film as PNG.")
    check_count(tags.get(322, 0) * tags.get(323, 0), MAX_PIXELS, "pixels in a tile")
    for start, count in zip(tags.get(273) or tags[324], tags.get(279) or tags[325], strict=True):
        if start + count > len(data):
            raise ImageError(UNREADABLE)
        if compression == _JPEG and read_jpeg_header(data[start : start + count]).end > count:
            raise ImageError(CUT_SHORT)
