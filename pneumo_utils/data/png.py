"""Whether a PNG holds all of its pixels, which Pillow does not ask: missing rows become black."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from pneumo_utils.errors import ImageError

CUT_SHORT = "The PNG data is cut short; download or export the file again."
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
    """Nothing, if the file ends with its last chunk and its data reach the last row.

    Args:
        data: The file, which Pillow could read.
        grey: uint8 (H, W), what it was read to; the data are only counted where the end of it is flat.

    Raises:
        ImageError: Rows are missing.
    """
    if _END not in data:
        raise ImageError(CUT_SHORT)
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
        raise ImageError(CUT_SHORT)


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
