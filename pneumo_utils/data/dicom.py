"""DICOM radiographs: what a file says of itself, and its pixels as they are stored.

Only the elements that are asked for are kept while a file is parsed; who was imaged, where and when is
skipped. What the libraries have to say about a file is dropped, for it may quote it.
"""

import io
import math
import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
from pydicom import dcmread
from pydicom.encaps import get_frame

from pneumo_utils.config import MAX_BYTES
from pneumo_utils.data import images
from pneumo_utils.data.dicom_levels import LEVEL_TEXTS, LEVEL_VALUES, parse_number, to_levels
from pneumo_utils.errors import ImageError

MAX_READS = 20_000  # two for an element; a radiograph has some hundreds of elements
MAX_VALUE_BYTES = 300_000  # of one element but the image; a lookup table of 65,536 entries has 131,072
MAX_JPEG2000_BYTES = 30_000_000  # the slowest decoder of all: 7 MB a second
UNDEFINED = 0xFFFFFFFF  # the length of what ends with a mark
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
NATIVE = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED)
DISAGREES = "The DICOM file and the image in it disagree about the size; export the film anew."
UNKNOWN = "The DICOM file has a transfer syntax that is not read; export the film as PNG."

RADIOGRAPHS = frozenset({"CR", "DX", "DR", "XR", "RG", "RF", "OT", "SC", "XC", ""})
# Others are named in the message only if they are one of these: the field could hold anything.
OTHERS = frozenset(("CT", "MR", "US", "PT", "NM", "MG", "XA", "IO", "PX", "ES", "RTDOSE", "SEG", "SR"))
SIDE_VIEWS = frozenset({"LL", "RL", "LAT", "LATERAL", "LAO", "RAO", "LPO", "RPO", "LLO", "RLO"})
CHEST_WORDS = ("CHEST", "THOR", "TORAX", "LUNG", "PULM", "RIB", "TORSO")

_TEXTS = ("Modality", "NumberOfFrames", "ViewPosition", "PatientOrientation", "BodyPartExamined",
          "BurnedInAnnotation", "PresentationIntentType", *LEVEL_TEXTS)  # fmt: skip
_VALUES = ("Rows", "Columns", "PlanarConfiguration", *LEVEL_VALUES)
_PALETTE = [f"{name}PaletteColorLookupTable{part}"
            for name in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")]  # fmt: skip
_CODINGS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # of a JPEG; 0xF7: JPEG-LS
_RGB_MARKER = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"  # Adobe's, and no transform of colours
# Put before the end of an image: where the decoder still wants data, these make other pixels.
_FILLER = bytes((37 * index + 90) % 251 for index in range(512))


def read_dicom(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """The film in a DICOM file, uint8 (H, W), as `to_levels` says, and notes.

    A file without preamble, file meta information or transfer syntax is implicit little-endian, unless its
    first element is not. The notes are sentences about what the file says of itself: a side view, another
    part of the body, burned-in writing, raw values.

    Raises ImageError if it is damaged, cut short, too large or too small, no radiograph, of several frames
    or compressed in a way that is not read; the error does not quote the file.
    """
    try:
        tags = _parse(data)
        return to_levels(_read_words(tags), tags), tuple(_list_notes(tags))
    except ImageError as error:
        message = str(error)
    except Exception:  # damaged bytes make a parser fail in a dozen ways
        message = images.UNREADABLE
    raise ImageError(message)  # without a cause, which might quote the file


class _BriefStream(io.BytesIO):
    """Ends the parsing of a file of millions of elements, or of elements nested in each other."""

    reads = 0

    def read(self, size=-1):
        self.reads += 1
        if self.reads > MAX_READS:
            raise OverflowError("more elements than a radiograph has")
        return super().read(size)


def _parse(data: bytes) -> dict:
    """Texts in capitals, other values as they are, the image, and how both are written."""
    if DEFLATED.encode() in data[132:1000]:
        data = _inflate(data[144 + int.from_bytes(data[140:144], "little") :])
    names = [*_TEXTS, *_VALUES, *_PALETTE, "PixelData"]
    dataset = dcmread(_BriefStream(data), force=True, specific_tags=names)
    present = [name for name in _VALUES if name in dataset]
    if any(MAX_VALUE_BYTES < getattr(dataset.get_item(name), "length", 0) < UNDEFINED for name in present):
        raise OverflowError("longer than any lookup table")
    tags = {name: dataset.get(name) for name in _VALUES} | {"Dataset": dataset}
    tags["BitsStored"] = tags["BitsStored"] or tags["BitsAllocated"]
    for name in _TEXTS:  # as bytes: pydicom would stumble over what is no number
        text = dataset.get_item(name).value if name in dataset else b""
        tags[name] = text.decode("latin-1").strip("\0 ").upper() if isinstance(text, bytes) else ""
    _check(tags)
    if "PixelData" not in dataset:
        raise ImageError("The DICOM file holds no image, or is cut short before it; export the film anew.")
    element = dataset.get_item("PixelData")
    syntax, value = str(dataset.file_meta.get("TransferSyntaxUID", "")), element.value
    is_native = syntax in NATIVE
    if is_native != (element.length != UNDEFINED):  # type: ignore[attr-defined]  # it is raw
        raise ImageError(images.UNREADABLE if is_native else UNKNOWN)
    value = value if is_native else get_frame(value, 0, number_of_frames=1)
    is_big = not dataset.original_encoding[1]
    return tags | {"PixelData": value, "VR": element.VR, "Syntax": syntax, "IsBig": is_big}


def _inflate(data: bytes) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = engine.decompress(data, MAX_BYTES + 1)
    images.check_count(len(plain), MAX_BYTES, "bytes")
    if not engine.eof:
        raise ImageError(images.CUT_SHORT)
    return plain


def _check(tags: dict) -> None:
    modality = tags["Modality"]
    if modality not in RADIOGRAPHS:
        name = f"of modality {modality}" if modality in OTHERS else "of another kind"
        raise ImageError(f"The DICOM image is {name}, no radiograph; give a CR or DX image.")
    if (parse_number(tags["NumberOfFrames"]) or 1) > 1:
        raise ImageError(images.SEVERAL)
    images.check_size(tags["Rows"], tags["Columns"])
    depth = tags["SamplesPerPixel"] or 1, tags["BitsAllocated"]
    if depth not in ((1, 8), (1, 16), (3, 8), (3, 16)) or not 1 <= tags["BitsStored"] <= depth[1]:
        raise ImageError("The DICOM image has a rare depth; export the film as PNG of 8 or 16 bits of grey.")


def _list_notes(tags: dict) -> Iterator[str]:
    # Of the axes of a side view, that of the rows points to the front or to the back.
    if tags["ViewPosition"] in SIDE_VIEWS or tags["PatientOrientation"].startswith(("A", "P")):
        yield "The file calls itself a side or oblique view; the model knows frontal films only."
    if tags["BodyPartExamined"] and not any(word in tags["BodyPartExamined"] for word in CHEST_WORDS):
        yield "The file says that it shows another part of the body than the chest; check the film."
    if tags["BurnedInAnnotation"] == "YES":
        yield "The file says that writing is burned into the picture; a name may be in it."
    if tags["PresentationIntentType"] == "FOR PROCESSING":
        yield "The file says that it is raw, not meant to be looked at; give the processed film."


def _read_words(tags: dict) -> np.ndarray:
    """The image as it is stored, uint8 or uint16 (H, W), in two's complement, or (H, W, 3)."""
    shape = tags["Rows"], tags["Columns"], tags["SamplesPerPixel"] or 1
    word, kind = np.dtype(f"<u{tags['BitsAllocated'] // 8}"), tags["PhotometricInterpretation"]
    if tags["Syntax"] in NATIVE:
        words = _read_native(tags["PixelData"], shape, word, tags)
    elif tags["Syntax"] == RLE:
        # Into room of the right size: two bytes can stand for 128, a small file could ask for gigabytes.
        room = np.empty(math.prod(shape) * word.itemsize, np.uint8)
        if len(imagecodecs.dicomrle_decode(tags["PixelData"], word, out=room.data)) < room.size:
            raise ImageError(images.CUT_SHORT)
        words = _join_planes(room.view(word), shape)
    else:
        words = _clip(_decode(tags["PixelData"], shape, tags), tags)
    if words.shape[:2] != shape[:2] or words.dtype.itemsize > word.itemsize:
        raise ImageError(DISAGREES)
    if kind == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        return apply_color_lut(words.reshape(shape[:2]), tags["Dataset"])
    return words[..., 0] if words.ndim == 3 and (kind == "YBR_FULL" or words.shape[2] == 1) else words


def _read_native(value: bytes, shape: tuple, word: np.dtype, tags: dict) -> np.ndarray:
    if tags["PhotometricInterpretation"] == "YBR_FULL_422":  # two pixels, then their colour
        value, shape = np.frombuffer(value, np.uint8).reshape(-1, 4)[:, :2].tobytes(), (*shape[:2], 1)
    count = math.prod(shape)
    if len(value) < count * word.itemsize:
        raise ImageError(images.CUT_SHORT)
    if tags["IsBig"] and (word.itemsize == 2 or tags["VR"] == "OW"):  # words of two pixels, PS3.5 8.1.1
        value = np.frombuffer(value[: len(value) // 2 * 2], ">u2").astype("<u2")
    words, is_planar = np.frombuffer(value, word, count), shape[2] == 3 and tags["PlanarConfiguration"] == 1
    return _join_planes(words, shape) if is_planar else words.reshape(shape)


def _join_planes(words: np.ndarray, shape: tuple) -> np.ndarray:
    return words.reshape(shape[2], *shape[:2]).transpose(1, 2, 0)


def _clip(words: np.ndarray, tags: dict) -> np.ndarray:
    """A lossy codec may go beyond the bits that are stored; the highest level must not become the lowest."""
    bits, is_signed = tags["BitsStored"], words.dtype.kind == "i"
    low = -(2 ** (bits - 1)) if is_signed else 0
    if bits < 8 * words.dtype.itemsize and is_signed == (tags["PixelRepresentation"] == 1):
        words = words.clip(low, low + 2**bits - 1)
    return words.view(f"u{words.dtype.itemsize}")


def _decode(frame: bytes, shape: tuple, tags: dict) -> np.ndarray:
    """What the frame begins with counts, and not what the file calls it."""
    if frame.startswith(b"\xff\xd8"):
        return _decode_jpeg(frame, shape, tags)
    at = frame[:1000].find(b"\xff\x4f\xff\x51")  # without a file of its own around it
    if at < 0:
        raise ImageError(UNKNOWN)
    _check_jpeg2000(frame[at:], shape)
    return imagecodecs.jpeg2k_decode(frame[at:])


def _decode_jpeg(frame: bytes, shape: tuple, tags: dict) -> np.ndarray:
    at = 2
    while frame[at + 1] not in _CODINGS:  # over the segments before the one that says how it is coded
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    coding, (bits, *stored) = frame[at + 1], struct.unpack_from(">BHHB", frame, at + 4)
    if tuple(stored) != shape:
        raise ImageError(DISAGREES)
    if coding == 0xF7:
        return imagecodecs.jpegls_decode(frame)
    is_rgb = _is_rgb(frame[:at], frame[at + 10 : at + 19], tags)
    if bits == 8 and coding in (0xC0, 0xC1, 0xC2):
        return images.read_jpeg(frame[:2] + (_RGB_MARKER if is_rgb else b"") + frame[2:])[0]
    how: dict = {"colorspace": "RGB" if is_rgb else "YCBCR", "outcolorspace": "RGB"} if shape[2] == 3 else {}
    words, end = imagecodecs.jpeg8_decode(frame, **how), frame.rindex(b"\xff\xd9")
    if not np.array_equal(words, imagecodecs.jpeg8_decode(frame[:end] + _FILLER + frame[end:], **how)):
        raise ImageError(images.CUT_SHORT)
    return words


def _is_rgb(head: bytes, components: bytes, tags: dict) -> bool:
    """Whether three samples are red, green and blue.

    The marker of JFIF or Adobe decides, then the names of the components, then whether some are stored
    at half the size, and the label last: labels are wrong more often than what the encoder wrote.
    """
    if len(components) < 9 or b"JFIF\0" in head:
        return False
    if b"Adobe\0" in head:
        return head[head.index(b"Adobe\0") + 11] == 0
    names, sizes = components[::3], components[1::3]
    if names in (b"RGB", b"\1\2\3"):
        return names == b"RGB"
    return len(set(sizes)) == 1 and tags["PhotometricInterpretation"] == "RGB"


def _check_jpeg2000(stream: bytes, shape: tuple) -> None:
    """Raises ImageError if the size is another, a tile is missing, or parts are so small that it takes GB."""
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", stream, 8)
    if (bottom - top, right - left) != shape[:2]:
        raise ImageError(DISAGREES)
    if stream.count(b"\xff\x90") < -(-right // tile_width) * -(-bottom // tile_height):
        raise ImageError(images.CUT_SHORT)  # the decoder would leave the missing tiles black
    coding = stream[stream.index(b"\xff\x52") + 2 :]  # flags at 2, levels at 7, then precincts' powers of two
    precincts = coding[12 : 13 + coding[7]] if coding[2] & 1 else b""
    is_fine = any(min(powers & 15, powers >> 4) < 5 for powers in precincts)
    if is_fine or len(stream) > MAX_JPEG2000_BYTES:
        raise ImageError(images.TOO_SLOW)
