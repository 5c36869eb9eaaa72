"""The pixels of a DICOM frame as stored, from every compression that radiographs come in."""

import struct

import imagecodecs
import numpy as np

from pneumo_utils.data.formats import UNREADABLE, read_jpeg_header, require_all_pixels
from pneumo_utils.errors import ImageError

_NATIVE, _BIG = "native", "1.2.840.10008.1.2.2"
SYNTAXES = {  # the transfer syntaxes that are read, and what decodes them
    "1.2.840.10008.1.2": _NATIVE,
    "1.2.840.10008.1.2.1": _NATIVE,
    "1.2.840.10008.1.2.1.99": _NATIVE,  # deflated as a whole, and inflated by now
    _BIG: _NATIVE,  # big-endian
    "1.2.840.10008.1.2.4.50": "jpeg8",  # baseline
    "1.2.840.10008.1.2.4.51": "jpeg8",  # extended, 12 bits
    "1.2.840.10008.1.2.4.57": "jpeg8",  # lossless
    "1.2.840.10008.1.2.4.70": "jpeg8",  # lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "jpegls",
    "1.2.840.10008.1.2.4.81": "jpegls",
    "1.2.840.10008.1.2.4.90": "jpeg2k",
    "1.2.840.10008.1.2.4.91": "jpeg2k",
    "1.2.840.10008.1.2.5": "rle",
}
MAX_FRAGMENTS = 10_000
CUT_SHORT = "The DICOM file's image is cut short; download or export the file again."
DISAGREES = "The DICOM file and the image in it disagree about the size; export the film anew."
_ITEM, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
JPEG2000_START = b"\xff\x4f\xff\x51"
MAX_BYTES = 16_000_000  # the slowest decoder of all: 7 MB a second
MAX_TILES = 5_000
MAX_PRECINCTS = 50_000
MAX_SEGMENTS = 50_000
JPEG2000_CUT_SHORT = "The JPEG 2000 data is cut short; download or export the file again."
TOO_SLOW = "The JPEG 2000 image takes too long to read; export the film as PNG."
_CODING, _COMPONENT, _TILE, _DATA, _END = 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9


def decode_frame(value: memoryview, length: int, tags, syntax: str) -> np.ndarray:
    """The pixels as stored: uint8 or uint16 (H, W), in two's complement, or uint8 (H, W, 3), red first.

    `value` is the file from the first byte of the pixel data on, `length` its bytes as the file says,
    0xFFFFFFFF where it lies in fragments; `syntax` is a key of `SYNTAXES`. Raises ImageError if it is cut
    short, of a rare depth, or not the image that `tags` describe.
    """
    shape, word = _read_shape(tags)
    codec = SYNTAXES[syntax]
    if codec == _NATIVE:
        order = ">" if syntax == _BIG else "<"
        pixels = _read_native(value, length, shape, word.newbyteorder(order), tags)
    elif length != 0xFFFFFFFF:
        raise ImageError(UNREADABLE)
    elif codec == "rle":
        pixels = _decode_rle(join_fragments(value), shape, word)
    else:
        pixels = _clip(_decode_jpeg(join_fragments(value), codec, shape, tags), tags)
    if pixels.shape != shape or pixels.dtype.itemsize > 2 or pixels.dtype.kind not in "iu":
        raise ImageError(DISAGREES)
    if len(shape) == 3 and codec != "jpeg8" and str(tags.get("PhotometricInterpretation")) == "YBR_FULL":
        pixels = pixels[..., 0]  # nothing has made red, green and blue of it: the luma comes first
    return pixels.view(f"u{pixels.dtype.itemsize}")


def _read_shape(tags) -> tuple[tuple, np.dtype]:
    """The shape of the image, (H, W) or (H, W, 3), and the type of a word."""
    samples, allocated = int(tags.get("SamplesPerPixel") or 1), int(tags.BitsAllocated)
    is_read = (samples, allocated) in ((1, 8), (1, 16), (3, 8))
    if not is_read or not 1 <= int(tags.BitsStored) <= allocated:
        raise ImageError("The DICOM image has a rare depth; export the film as PNG of 8 or 16 bits of grey.")
    shape = int(tags.Rows), int(tags.Columns)
    return (shape if samples == 1 else (*shape, 3)), np.dtype(f"u{allocated // 8}")


def join_fragments(value: memoryview) -> bytes:
    """The one frame of encapsulated pixel data, without the table of offsets before it."""
    fragments, at = [], 0
    while at + 8 <= len(value) and len(fragments) <= MAX_FRAGMENTS:
        group, element, length = struct.unpack_from("<HHI", value, at)
        at += 8
        if (group, element) == _SEQUENCE_END and len(fragments) > 1:
            return b"".join(fragments[1:])
        if (group, element) != _ITEM or at + length > len(value):
            break
        fragments.append(value[at : at + length])
        at += length
    raise ImageError(CUT_SHORT)


def _read_native(value: memoryview, length: int, shape: tuple, word: np.dtype, tags) -> np.ndarray:
    count = int(np.prod(shape))
    if str(tags.get("PhotometricInterpretation")) == "YBR_FULL_422" or length == 0xFFFFFFFF:
        raise ImageError(UNREADABLE)
    if min(length, len(value)) < count * word.itemsize:
        raise ImageError(CUT_SHORT)
    pixels = np.frombuffer(value, word, count)
    if len(shape) == 3 and int(tags.get("PlanarConfiguration") or 0) == 1:
        return pixels.reshape(3, *shape[:2]).transpose(1, 2, 0)
    return pixels.reshape(shape).astype(word.newbyteorder("="), copy=False)


def _decode_rle(frame: bytes, shape: tuple, word: np.dtype) -> np.ndarray:
    # Into room of the right size: two bytes can stand for 128, so a small file could ask for gigabytes.
    room = np.empty(int(np.prod(shape)) * word.itemsize, np.uint8)
    decoded = imagecodecs.dicomrle_decode(frame, word.newbyteorder("<"), out=room)
    if len(decoded) < room.size:
        raise ImageError(CUT_SHORT)
    pixels = room.view(word.newbyteorder("<")).astype(word, copy=False)
    return pixels.reshape(shape) if len(shape) == 2 else pixels.reshape(3, *shape[:2]).transpose(1, 2, 0)


def _decode_jpeg(frame: bytes, codec: str, shape: tuple, tags) -> np.ndarray:
    expected = shape if len(shape) == 3 else (*shape, 1)
    if codec == "jpeg2k":
        frame = frame[max(0, frame.find(JPEG2000_START)) :]  # without a file of its own around it
        if read_jpeg2000_size(frame) != expected:
            raise ImageError(DISAGREES)
        return imagecodecs.jpeg2k_decode(frame)
    header = read_jpeg_header(frame)
    if (header.height, header.width, header.samples) != expected:
        raise ImageError(DISAGREES)
    if codec == "jpegls":
        return imagecodecs.jpegls_decode(frame)
    is_rgb = str(tags.get("PhotometricInterpretation")) == "RGB"
    spaces = {"colorspace": "RGB" if is_rgb else "YCBCR", "outcolorspace": "RGB"} if len(shape) == 3 else {}

    def decode(stream: bytes) -> np.ndarray:
        return imagecodecs.jpeg8_decode(stream, **spaces)

    pixels = decode(frame)
    require_all_pixels(frame, header, pixels, decode)
    return pixels


def _clip(pixels: np.ndarray, tags) -> np.ndarray:
    """A lossy codec may go beyond the bits that are stored; the highest level must not become the lowest."""
    stored, is_signed = int(tags.BitsStored), int(tags.get("PixelRepresentation") or 0) == 1
    if (pixels.dtype.kind == "i") != is_signed or stored >= 8 * pixels.dtype.itemsize:
        return pixels
    low = -(2 ** (stored - 1)) if is_signed else 0
    return np.clip(pixels, low, low + 2**stored - 1)


def read_jpeg2000_size(stream: bytes) -> tuple[int, int, int]:
    """Height, width and samples per pixel of a codestream.

    Raises ImageError if its end or one of its tiles is missing, or it is cut into very many parts.
    """
    if not stream.startswith(JPEG2000_START) or b"\xff\xd9" not in stream[-4:]:
        raise ImageError(JPEG2000_CUT_SHORT)
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", stream, 8)
    tiles = -(-right // max(tile_width, 1)) * -(-bottom // max(tile_height, 1))
    if tiles > MAX_TILES or len(stream) > MAX_BYTES:
        raise ImageError(TOO_SLOW)
    if len(_find_tiles(stream, 2, (bottom - top, right - left))) < tiles:
        raise ImageError(JPEG2000_CUT_SHORT)  # the decoder would leave the missing ones black
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
