"""What a JPEG 2000 stream says about itself, read without decoding it: its size and whether it is whole.

Also what it would cost: a few hundred bytes can ask the decoder to keep books of gigabytes.
"""

import struct

from pneumo_utils.errors import ImageError

JPEG2000_START = b"\xff\x4f\xff\x51"
MAX_BYTES = 16_000_000  # the slowest decoder of all: 7 MB a second
MAX_TILES = 5_000
MAX_PRECINCTS = 50_000
MAX_SEGMENTS = 50_000
CUT_SHORT = "The JPEG 2000 data is cut short; download or export the file again."
TOO_SLOW = "The JPEG 2000 image takes too long to read; export the film as PNG."
_CODING, _COMPONENT, _TILE, _DATA, _END = 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9


def read_jpeg2000_size(stream: bytes) -> tuple[int, int, int]:
    """Height, width and samples per pixel.

    Args:
        stream: A codestream, from its first byte.

    Raises:
        ImageError: Its end or one of its tiles is missing, or it is cut into very many parts.
    """
    if not stream.startswith(JPEG2000_START) or b"\xff\xd9" not in stream[-4:]:
        raise ImageError(CUT_SHORT)
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", stream, 8)
    tiles = -(-right // max(tile_width, 1)) * -(-bottom // max(tile_height, 1))
    if tiles > MAX_TILES or len(stream) > MAX_BYTES:
        raise ImageError(TOO_SLOW)
    if len(_find_tiles(stream, 2, (bottom - top, right - left))) < tiles:
        raise ImageError(CUT_SHORT)  # the decoder would leave the missing ones black
    (samples,) = struct.unpack_from(">H", stream, 40)
    return bottom - top, right - left, samples


def _find_tiles(stream: bytes, at: int, size: tuple[int, int]) -> set[int]:
    """The numbers of the tiles that are there, from the first segment of the main header on."""
    found, part_end = set(), len(stream)
    for _ in range(MAX_SEGMENTS):
        marker, length = struct.unpack(">HH", stream[at : at + 4].ljust(4, b"\0"))
        if marker == _END:
            return found
        if marker == _TILE:  # a part of a tile: its header says how long all of it is
            tile, part = struct.unpack_from(">HI", stream, at + 4)
            part_end = at + part if part else stream.rfind(b"\xff\xd9")
            found.add(tile)
        if marker == _DATA:
            at = part_end
            continue
        if marker in (_CODING, _COMPONENT):
            _check_coding(stream[at + (4 if marker == _CODING else 5) : at + 2 + length], marker, size)
        at += 2 + length
    raise ImageError(TOO_SLOW)


def _check_coding(body: bytes, marker: int, size: tuple[int, int]) -> None:
    """Raises ImageError where the image is cut into very many blocks or precincts."""
    first = 5 if marker == _CODING else 1
    levels, block_width, block_height = body[first : first + 3]
    if min(block_width, block_height) < 2:  # the power of two less two: blocks of 4 or 8 pixels
        raise ImageError(TOO_SLOW)
    precincts = 0
    for level, power in enumerate(body[first + 5 :] if body[0] & 1 else b""):
        scale = max(levels - level, 0)
        height, width = (side >> scale for side in size)
        precincts += ((width >> (power & 15)) + 1) * ((height >> (power >> 4)) + 1)
    if precincts > MAX_PRECINCTS:
        raise ImageError(TOO_SLOW)
