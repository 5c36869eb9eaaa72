"""DICOM radiographs to grey, as a viewer would show them: through their own window, bone white.

Only the elements in `_TAGS` are kept while a file is parsed; who was imaged, where and when is skipped.
What the libraries have to say about a file is dropped, for it may quote it.
"""

import io
import zlib

import numpy as np
from PIL import Image
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from pneumo_utils.config import MAX_BYTES
from pneumo_utils.data.dicom_frame import SYNTAXES, decode_frame
from pneumo_utils.data.formats import SEVERAL, UNREADABLE, check_count, check_size, map_strips, quiet
from pneumo_utils.errors import ImageError

MAX_VALUE_BYTES = 300_000  # of one element that is kept; a lookup table of 65,536 entries has 131,072
MAX_READS = 100_000  # two for an element; a radiograph has some hundreds of elements
_IMPLICIT, _BIG, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_TAGS = (
    "Modality", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape",
)  # fmt: skip
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # floats, doubles and whole numbers: the last are read
_RADIOGRAPHS = frozenset({"CR", "DX", "RG", "RF", "OT", "SC", "XC", ""})
# Others are named in the message only if they are one of these: the field could hold anything.
_OTHERS = frozenset(("CT", "MR", "US", "PT", "NM", "MG", "XA", "IO", "PX", "ES", "RTDOSE", "SEG", "SR"))
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")


def read_dicom(data: bytes) -> np.ndarray:
    """The film in a DICOM file, uint8 (H, W), 0 black and 255 white.

    It is rescaled, seen through the file's first window or lookup table, and inverted where the file says
    that its lowest value is white. Without a window, 8 bits are kept and more are stretched from the lowest
    to the highest value. Padding is black.

    Raises ImageError if it is damaged, cut short, too large or too small, no radiograph, of several frames
    or compressed in a way that is not read; the error does not quote the file.
    """
    try:
        with quiet:
            tags, syntax, value, length = _parse(data)
            _check(tags)
            return to_levels(decode_frame(value, length, tags, syntax), tags)
    except ImageError as error:
        message = str(error)
    except Exception:  # damaged bytes make a parser fail in a dozen ways
        message = UNREADABLE
    raise ImageError(message)  # without a cause, which might quote the file


class _BriefStream(io.BytesIO):
    """Ends the parsing of a file of millions of elements, or of elements nested in each other."""

    reads = 0

    def read(self, size=-1):
        self.reads += 1
        if self.reads > MAX_READS:
            raise OverflowError("more elements than a radiograph has")
        return super().read(size)


def _parse(data: bytes) -> tuple[Dataset, str, memoryview, int]:
    """The elements of `_TAGS`, the transfer syntax, the data from the pixels on, and how long these are."""
    stream = _BriefStream(data)
    stream.seek(132)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if syntax not in SYNTAXES:
        raise ImageError("The DICOM file has a transfer syntax that is not read; export the film as PNG.")
    if syntax == _DEFLATED:
        data = _inflate(memoryview(data)[stream.tell() :])
        stream = _BriefStream(data)
    place, wanted = [], [tag_for_keyword(name) for name in ("SpecificCharacterSet", *_TAGS)]

    def is_at_pixels(tag, vr, length) -> bool:
        if tag in wanted and MAX_VALUE_BYTES < length < 0xFFFFFFFF:
            raise OverflowError("longer than any lookup table")
        if tag in _PIXELS:
            place.extend((tag, stream.tell(), length))
        return bool(place)

    wanted_only = {"stop_when": is_at_pixels, "specific_tags": wanted}
    tags = read_dataset(stream, syntax == _IMPLICIT, syntax != _BIG, **wanted_only)
    if not place or place[0] != _PIXELS[-1]:
        raise ImageError("The DICOM file holds no image, or is cut short before it; export the film anew.")
    return tags, syntax, memoryview(data)[place[1] :], place[2]


def _inflate(data: memoryview) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = engine.decompress(data, MAX_BYTES + 1)
    check_count(len(plain), MAX_BYTES, "bytes")
    if not engine.eof:
        raise ImageError(UNREADABLE)
    return plain


def _check(tags: Dataset) -> None:
    modality = str(tags.get("Modality") or "").strip().upper()
    if modality not in _RADIOGRAPHS:
        name = f"of modality {modality}" if modality in _OTHERS else "of another kind"
        raise ImageError(f"The DICOM image is {name}, no radiograph; give a CR or DX image.")
    if int(tags.get("NumberOfFrames") or 1) != 1:
        raise ImageError(SEVERAL)
    check_size(int(tags.Rows), int(tags.Columns))


def to_levels(words: np.ndarray, tags) -> np.ndarray:
    """uint8 (H, W) of the stored words, as `decode_frame` gives them.

    Raises ImageError if the colours are of a rare kind, or a number that is needed makes no sense.
    """
    kind = str(tags.get("PhotometricInterpretation") or "MONOCHROME2")
    if kind in _COLOUR and int(tags.get("SamplesPerPixel") or 1) == 3:
        return np.array(Image.fromarray(np.ascontiguousarray(words)).convert("L"))
    if words.ndim == 3 or kind not in _GREY:
        raise ImageError("The DICOM image has colours of a rare kind; export the film as PNG.")
    table = _build_table(words, tags, is_white_low=kind == "MONOCHROME1")
    return map_strips(lambda strip: table[strip], words, np.uint8)


def _build_table(words: np.ndarray, tags, *, is_white_low: bool) -> np.ndarray:
    """uint8 (256,) or (65536,): the grey level of each word."""
    # The stored bits may lie above others, such as an overlay's.
    shift = max(0, int(tags.get("HighBit") or 0) + 1 - int(tags.BitsStored))
    stored = _to_values(np.arange(256**words.dtype.itemsize) >> shift, tags)
    values = _rescale(stored, tags)
    is_padding = _find_padding(stored, tags)
    levels = _through_window(values, tags)
    if levels is None and tags.get("VOILUTSequence"):
        entries, highest = _apply_lut(values, tags.VOILUTSequence[0], tags)
        levels = entries / highest
    if levels is None:
        is_used = np.full(len(values), int(tags.BitsStored) <= 8)
        if int(tags.BitsStored) > 8:
            is_used[np.unique(words)] = True
            is_used &= ~is_padding
        low, high = (values[is_used].min(), values[is_used].max()) if is_used.any() else (0.0, 0.0)
        levels = (values - low) / ((high - low) or 1.0)
    if not np.isfinite(levels).all():
        raise ImageError(UNREADABLE)
    levels = np.clip(levels, 0, 1)
    if is_white_low or str(tags.get("PresentationLUTShape") or "") == "INVERSE":
        levels = 1 - levels
    return np.where(is_padding, 0, (levels * 255).round()).astype(np.uint8)


def _to_values(words: np.ndarray, tags) -> np.ndarray:
    """The number that each word stands for: its stored bits, signed or not."""
    bits, is_signed = int(tags.BitsStored), int(tags.get("PixelRepresentation") or 0) == 1
    values = words & (2**bits - 1)
    return np.where(values >= 2 ** (bits - 1), values - 2**bits, values) if is_signed else values


def _find_padding(stored: np.ndarray, tags) -> np.ndarray:
    """Where a word only fills the frame around the film."""
    first = tags.get("PixelPaddingValue")
    if first is None or first == "":
        return np.zeros(len(stored), bool)
    last = tags.get("PixelPaddingRangeLimit")
    ends = np.array([int(first), int(first if last is None or last == "" else last)])
    low, high = np.sort(_to_values(ends, tags))
    return (stored >= low) & (stored <= high)


def _rescale(stored: np.ndarray, tags) -> np.ndarray:
    if tags.get("ModalityLUTSequence"):
        return _apply_lut(stored, tags.ModalityLUTSequence[0], tags)[0]
    slope, intercept = (_first_number(tags, name) for name in ("RescaleSlope", "RescaleIntercept"))
    return stored * (1.0 if slope is None else slope) + (intercept or 0.0)


def _through_window(values: np.ndarray, tags) -> np.ndarray | None:
    """0 to 1 as DICOM PS3.3 C.11.2 says; None without a window that makes sense."""
    center, width = (_first_number(tags, name) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or not width > 0:
        return None
    function = str(tags.get("VOILUTFunction") or "LINEAR")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if width <= 1:
        return (values > center - 0.5).astype(float)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _apply_lut(values: np.ndarray, item, tags) -> tuple[np.ndarray, int]:
    """The entries for the values, the ends for those outside; and the highest entry there can be."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = item.LUTData
    if isinstance(entries, bytes):
        entries = np.frombuffer(entries, "<u2")
    entries = np.asarray(entries, np.float64).ravel()[: count % 2**16 or 2**16]
    if int(tags.get("PixelRepresentation") or 0) == 1 and first >= 2**15:
        first -= 2**16
    index = np.clip(np.nan_to_num(values) - first, 0, len(entries) - 1).astype(int)
    return entries[index], 2**bits - 1


def _first_number(tags, name: str) -> float | None:
    """The first value of an element, if it is a finite number."""
    values = tags.get(name)
    if values is None or values == "":
        return None
    number = float(values if isinstance(values, (int, float, str)) else values[0])
    return number if np.isfinite(number) else None
