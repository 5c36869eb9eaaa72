"""DICOM files made to do harm, each with what must come of it; accidents are in `tests/odd_files.py`."""

import struct

import numpy as np
from dicom_files import (
    DEFLATED,
    EXPLICIT,
    JPEG,
    JPEG2000_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    LOSSLESS,
    RLE,
    encode_frame,
    insert_elements,
    make_dataset,
    make_dicom,
    make_element,
    write,
)
from odd_files import FILM, GOOD, LEVELS16, RAW16, Kinds, change_dicom, encode

from tools.benchmarks._hostile_pictures import PIXELS_AT_LIMIT, compress_zeros

KINDS = Kinds()
add = KINDS.add
ITEM, EMPTY_ITEM = b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x00\xe0\0\0\0\0"
SEQUENCE = make_element(0x00400275, b"SQ", b"", length=0xFFFFFFFF)


def insert_before_pixels(**elements: bytes) -> bytes:
    """The film of 12 bits with decimal strings that pydicom itself would not write, by their tags in hex."""
    data = make_dicom(RAW16, bits=12)
    at = data.index(b"\xe0\x7f\x10\x00")
    more = [make_element(int(tag[1:], 16), b"DS", text) for tag, text in elements.items()]
    return data[:at] + b"".join(more) + data[at:]


def add_frame(name: str, syntax: str, frame, *, pixels: np.ndarray = FILM) -> None:
    """A film whose encapsulated image is what `frame()` gives."""
    add(f"DICOM whose {name}", lambda: write(make_dataset(pixels), syntax, frame=frame()))


def encode_jpeg2000(pixels: np.ndarray = FILM) -> bytes:
    """The film as a lossless JPEG 2000 frame."""
    return encode_frame(pixels, JPEG2000_LOSSLESS)


def set_in_jpeg2000(at: int, value: bytes) -> bytes:
    """The film's JPEG 2000 frame of which some bytes are others."""
    data = encode_jpeg2000()
    return data[:at] + value + data[at + len(value) :]


def make_fine_jpeg2000(*, blocks: int = 4, precincts: int | None = None) -> bytes:
    """A film of one grey, 30 million pixels, in so many parts that the decoder would need gigabytes."""
    pixels = np.full(PIXELS_AT_LIMIT, 100, np.uint16)
    frame = encode_jpeg2000(pixels)
    at = frame.index(b"\xff\x52")  # how it is coded: flags, order, layers, levels and the sizes of blocks
    (length,) = struct.unpack_from(">H", frame, at + 2)
    body = bytearray(frame[at + 4 : at + 2 + length])
    body[6:8] = bytes([blocks, blocks])
    if precincts is not None:
        body[0] |= 1
        body += bytes([precincts] * (body[5] + 1))
    coding = b"\xff\x52" + struct.pack(">H", len(body) + 2) + body
    frame = frame[:at] + coding + frame[at + 2 + length :]
    return write(make_dataset(pixels), JPEG2000_LOSSLESS, frame=frame)


def make_runs(*starts: int, runs: bytes) -> bytes:
    """A frame of run lengths: where each plane starts, and the runs."""
    return struct.pack("<16I", len(starts), *starts, *[0] * (15 - len(starts))) + runs


def replace_fragments(items: bytes) -> bytes:
    """A film in JPEG-LS whose pixel data are these items."""
    data = write(make_dataset(FILM), JPEG_LS, frame=encode_frame(FILM, JPEG_LS))
    at = data.index(b"\xe0\x7f\x10\x00") + 12
    return data[:at] + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def make_deflate_bomb() -> bytes:
    """A film whose elements inflate to 200 MB."""
    data = make_dicom(FILM, DEFLATED)
    start = 144 + struct.unpack_from("<I", data, 140)[0]  # after the elements of the file itself
    return data[:start] + compress_zeros(200_000_000, wbits=-15)


# --- elements --------------------------------------------------------------------------------------------

for _syntax in LOSSLESS:
    add(f"DICOM without its last 40 bytes in {_syntax}", make_dicom(RAW16, _syntax, bits=12)[:-40])
add("DICOM whose first bytes are a TIFF's", b"II*\0" + GOOD[4:], FILM)
add("DICOM of nothing but its mark", bytes(128) + b"DICM")
add("DICOM of a mark and rubbish", bytes(128) + b"DICM" + np.random.default_rng(4).bytes(1000))
add("DICOM of no stored bits", change_dicom(BitsStored=0), FILM)
add("DICOM of minus one frames", lambda: change_dicom(NumberOfFrames=-1), FILM)
add("DICOM without rows", change_dicom(drop=["Rows"]))
for _tags in (
    {"Rows": 65_535, "Columns": 65_535},
    {"Rows": 0, "Columns": 0},
    {"Rows": 8},
    {"BitsAllocated": 1, "BitsStored": 1},
    {"BitsAllocated": 32, "BitsStored": 32},
    {"BitsAllocated": 12},
    {"BitsStored": 16},
    {"SamplesPerPixel": 4},
    {"PhotometricInterpretation": "PINK"},
    {"Modality": "GEHEIM GISELA"},
):
    add(f"DICOM of {_tags}", lambda tags=_tags: change_dicom(**tags))
for _width in (b"0     ", b"-5    ", b"nan   ", b"1e999 "):
    _film = insert_before_pixels(x00281050=b"2000", x00281051=_width)
    add(f"DICOM whose window is {_width.decode().strip()} wide", _film, LEVELS16)
for _slope, _expected in ((b"nan ", LEVELS16), (b"word", LEVELS16), (b"1e308 ", None)):
    _film = insert_before_pixels(x00281052=b"0 ", x00281053=_slope)
    add(f"DICOM whose slope is {_slope.decode().strip()}", _film, _expected)
_long = make_element(0x00091010, b"UN", b"abcd", length=0xFFFFFF00)
add("DICOM whose element is longer than the file", insert_elements(GOOD, _long))
_private = make_element(0x00091010, b"UN", bytes(50_000_000))
add("DICOM with a private element of 50 MB", insert_elements(GOOD, _private), FILM)
add("DICOM of sequences 100,000 deep", insert_elements(GOOD, (SEQUENCE + ITEM) * 100_000))
add("DICOM of sequences without end", insert_elements(GOOD, SEQUENCE))
_elements = make_element(0x00091010, b"LO", b"ab") * 1_000_000
add("DICOM of a million elements", insert_elements(GOOD, _elements))
add("DICOM of a million items", insert_elements(GOOD, SEQUENCE + EMPTY_ITEM * 1_000_000))
_table = make_element(0x00283010, b"SQ", EMPTY_ITEM * 1_000_000)
add("DICOM whose lookup table has a million items", insert_elements(GOOD, _table))
add("DICOM deflated from 200 MB", make_deflate_bomb)

# --- frames ----------------------------------------------------------------------------------------------

add("DICOM in which fragments are missing", lambda: replace_fragments(EMPTY_ITEM))
add("DICOM of a million empty fragments", lambda: replace_fragments(EMPTY_ITEM * 1_000_000))
add("DICOM whose fragment is longer than the file",
    lambda: replace_fragments(EMPTY_ITEM + b"\xfe\xff\x00\xe0\xff\xff\xff\x7f"))  # fmt: skip
add_frame("JPEG is a web page", JPEG, lambda: b"<html>" * 50)
add_frame("JPEG is of another size", JPEG, lambda: encode(FILM[:32], "JPEG"))
add_frame("JPEG is in colour", JPEG, lambda: encode(np.dstack([FILM] * 3), "JPEG"))
add_frame("JPEG 2000 claims 4 billion rows", JPEG2000_LOSSLESS, lambda: set_in_jpeg2000(12, b"\xff" * 4))
_tiles = struct.pack(">II", 1, 1)
add_frame("JPEG 2000 has tiles of one pixel", JPEG2000_LOSSLESS, lambda: set_in_jpeg2000(24, _tiles))
add_frame("JPEG 2000 hides behind a smaller one", JPEG2000_LOSSLESS,
          lambda: encode_jpeg2000()[:100] + encode_jpeg2000(np.tile(FILM, (9, 9))))  # fmt: skip
add("DICOM whose JPEG 2000 has blocks of 4 pixels", lambda: make_fine_jpeg2000(blocks=0))
add("DICOM whose JPEG 2000 has precincts of 2 pixels", lambda: make_fine_jpeg2000(precincts=0x11))
add_frame("run lengths are too few", RLE, lambda: make_runs(64, runs=b"\x81\0" * 10))
add_frame("run lengths stand for 640 MB", RLE, lambda: make_runs(64, runs=b"\x81\0" * 5_000_000))
add_frame("run lengths start outside", RLE, lambda: make_runs(10_000, runs=b"\x81\0" * 40))
add_frame("second plane of run lengths is short", RLE,
          lambda: make_runs(64, 112, runs=b"\x81\0" * 24 + b"\x81\1" * 10), pixels=RAW16)  # fmt: skip
for _syntax in (EXPLICIT, DEFLATED, JPEG_LOSSLESS_SV1, JPEG_LS, JPEG2000_LOSSLESS):
    add(f"DICOM of 30 million pixels in {_syntax}",
        lambda s=_syntax: make_dicom(np.full(PIXELS_AT_LIMIT, 100, np.uint16), s, bits=12),
        PIXELS_AT_LIMIT)  # fmt: skip
