"""DICOM radiographs to grey, as a viewer would show them: through their own window, bone white.

Only the elements in `_TAGS` are kept while a file is parsed; who was imaged, where and when is skipped.
What the libraries have to say about a file is dropped, for it may quote it.
"""

import io
import zlib
from dataclasses import dataclass

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from pneumo_utils.data.dicom_frame import SYNTAXES, decode_frame
from pneumo_utils.data.dicom_levels import to_levels
from pneumo_utils.data.limits import MAX_BYTES, SEVERAL, UNREADABLE, check_count, check_size
from pneumo_utils.data.quiet import quiet
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
_PIXELS = (
    0x7FE00008,
    0x7FE00009,
    0x7FE00010,
)  # floats, doubles and whole numbers, of which the last are read
_RADIOGRAPHS = frozenset({"CR", "DX", "RG", "RF", "OT", "SC", "XC", ""})
# Others are named in the message only if they are one of these: the field could hold anything.
_OTHERS = frozenset(("CT", "MR", "US", "PT", "NM", "MG", "XA", "IO", "PX", "ES", "RTDOSE", "SEG", "SR"))


@dataclass(frozen=True)
class _Film:
    """The elements of `_TAGS`, the transfer syntax, and where in `data` the value of the pixels lies."""

    tags: Dataset
    syntax: str
    data: bytes
    start: int
    length: int


class _BriefStream(io.BytesIO):
    """Ends the parsing of a file of millions of elements, or of elements nested in each other."""

    reads = 0

    def read(self, size=-1):
        self.reads += 1
        if self.reads > MAX_READS:
            raise OverflowError("more elements than a radiograph has")
        return super().read(size)


def read_dicom(data: bytes) -> np.ndarray:
    """The film in a DICOM file.

    Args:
        data: The file: 128 bytes, "DICM" and the elements.

    Returns:
        uint8 (H, W), 0 black and 255 white: rescaled, seen through the file's first window or lookup
        table, and inverted where the file says that its lowest value is white. Without a window, 8 bits
        are kept and more are stretched from the lowest to the highest value. Padding is black.

    Raises:
        ImageError: It is damaged, cut short, too large or too small, no radiograph, of several frames
            or compressed in a way that is not read. Neither it nor its causes quote the file.
    """

    def decode(film: _Film) -> np.ndarray:
        value = memoryview(film.data)[film.start :]
        return to_levels(decode_frame(value, film.length, film.tags, film.syntax), film.tags)

    return _guard(data, decode)


def measure_dicom(data: bytes) -> tuple[int, int]:
    """Height and width of the film in a DICOM file, pixels; raises as `read_dicom`, but decodes nothing."""
    return _guard(data, lambda film: (int(film.tags.Rows), int(film.tags.Columns)))


def _guard(data: bytes, use):
    """What `use` makes of the film in the file; every failure is an ImageError without a cause."""
    try:
        with quiet:
            film = _parse(data)
            _check(film)
            return use(film)
    except ImageError as error:
        message = str(error)
    except Exception:  # damaged bytes make a parser fail in a dozen ways
        message = UNREADABLE
    raise ImageError(message)


def _parse(data: bytes) -> _Film:
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

    tags = read_dataset(
        stream, syntax == _IMPLICIT, syntax != _BIG, stop_when=is_at_pixels, specific_tags=wanted
    )
    if not place or place[0] != _PIXELS[-1]:
        raise ImageError("The DICOM file holds no image, or is cut short before it; export the film anew.")
    return _Film(tags, syntax, data, place[1], place[2])


def _inflate(data: memoryview) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = engine.decompress(data, MAX_BYTES + 1)
    check_count(len(plain), MAX_BYTES, "bytes")
    if not engine.eof:
        raise ImageError(UNREADABLE)
    return plain


def _check(film: _Film) -> None:
    tags = film.tags
    modality = str(tags.get("Modality") or "").strip().upper()
    if modality not in _RADIOGRAPHS:
        name = f"of modality {modality}" if modality in _OTHERS else "of another kind"
        raise ImageError(f"The DICOM image is {name}, no radiograph; give a CR or DX image.")
    if int(tags.get("NumberOfFrames") or 1) != 1:
        raise ImageError(SEVERAL)
    check_size(int(tags.Rows), int(tags.Columns))
