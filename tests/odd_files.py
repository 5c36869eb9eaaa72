"""Kinds of odd and damaged files as people have them, each with what must come of it.

What must come of a kind is known from how its file was made. Bombs, and sweeps of damage, are in
`tools/benchmarks/hostile_files.py`.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from abilities import ANY_NAMES, LINKS, PIPES
from dicom_files import (
    EXPLICIT,
    JPEG2000_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    LOSSLESS,
    encode_frame,
    insert_elements,
    make_dataset,
    make_dicom,
    make_element,
    write,
)
from dicom_files import JPEG as DICOM_JPEG
from PIL import Image


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: What it is, in words.
        make: Gives the source for `load_image`: bytes, a path or an array; takes a folder for its own files.
        expected: uint8 (H, W) or a shape where it must be accepted; None where it must be rejected.
        tolerance: How far a pixel may be from `expected`, levels.
    """

    name: str
    make: Callable[[Path], object]
    expected: np.ndarray | tuple[int, int] | None
    tolerance: int = 0


class Kinds(list[Kind]):
    """A list of kinds to which a line of a module adds one."""

    def add(self, name: str, data: bytes | Callable[[], bytes], expected=None, tolerance: int = 0) -> None:
        """Adds bytes, or what makes them."""
        self.append(Kind(name, lambda folder: data() if callable(data) else data, expected, tolerance))

    def add_made(self, name: str, expected=None):
        """Adds the decorated maker, which takes a folder."""
        return lambda make: self.append(Kind(name, make, expected)) or make


KINDS = Kinds()
add = KINDS.add

# --- parts to build files of ----------------------------------------------------------------------------

FILM = np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8)
SMOOTH = (np.add.outer(np.arange(48), np.arange(64)) * 2).astype(np.uint8)


def encode(pixels, file_format: str, **options) -> bytes:
    """A file by Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def make_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def make_png(
    width: int, height: int, data: bytes, *, depth=8, colour=0, before=b"", after=b"", lace=0
) -> bytes:
    """A PNG around compressed scanlines, with chunks before and after them."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, lace)
    parts = make_chunk(b"IHDR", header), before, make_chunk(b"IDAT", data), after, make_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def interlace(pixels: np.ndarray) -> bytes:
    """The seven passes of Adam7."""
    passes = (
        (0, 8, 0, 8),
        (0, 8, 4, 8),
        (4, 8, 0, 4),
        (0, 4, 2, 4),
        (2, 4, 0, 2),
        (0, 2, 1, 2),
        (1, 2, 0, 1),
    )
    parts = (pixels[top::down, left::right] for top, down, left, right in passes)
    return b"".join(b"\0" + row.tobytes() for part in parts for row in part)


def cut_scan(data: bytes, share: float) -> bytes:
    """A JPEG whose scan ends early but properly, by an end marker: decoders fill the rest with grey."""
    start = data.rindex(b"\xff\xda")
    return data[: start + int(share * (len(data) - start))].rstrip(b"\xff") + b"\xff\xd9"


def read_by_pillow(data: bytes) -> np.ndarray:
    """The pixels that Pillow gives."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


# --- what is no film -----------------------------------------------------------------------------------

add("empty", b"")
add("random bytes", np.random.default_rng(1).bytes(100_000))
add("web page", b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 20)
add("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"><rect/></svg>')
add("PDF", encode(FILM, "PDF"))
add("GIF", encode(FILM, "GIF"))
add("JPEG 2000 file", encode(FILM, "JPEG2000"))
add("HEIC header", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
add("text", b"This is not a film.\n" * 50)


@KINDS.add_made("zip of a PNG")
def _(folder):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("film.png", encode(FILM, "PNG"))
    return stream.getvalue()


@KINDS.add_made("checkpoint given as a film")
def _(folder):
    import torch  # only here: it weighs more than all the rest

    path = folder / "best_model.pth"
    torch.save({"state": {"weight": torch.zeros(3)}}, path)
    return path


# --- paths ---------------------------------------------------------------------------------------------


@KINDS.add_made("folder")
def _(folder):
    return folder


@KINDS.add_made("missing file")
def _(folder):
    return folder / "missing.png"


@KINDS.add_made("lone surrogate in the name")
def _(folder):
    return str(folder / "film\udcff\ud800.png")


if PIPES:

    @KINDS.add_made("pipe that nobody writes to")
    def _(folder):
        os.mkfifo(folder / "film.png")
        return folder / "film.png"

    @KINDS.add_made("endless device")
    def _(folder):
        return "/dev/zero"


if LINKS:

    @KINDS.add_made("link that points at itself")
    def _(folder):
        (folder / "film.png").symlink_to(folder / "film.png")
        return folder / "film.png"

    @KINDS.add_made("link to nowhere")
    def _(folder):
        (folder / "film.png").symlink_to(folder / "gone.png")
        return folder / "film.png"

    @KINDS.add_made("link to a film", FILM)
    def _(folder):
        (folder / "film.png").write_bytes(encode(FILM, "PNG"))
        (folder / "link.png").symlink_to(folder / "film.png")
        return folder / "link.png"


def add_name(title: str, name: str) -> None:
    """A film under an odd name, which plays no part."""

    @KINDS.add_made(title, FILM)
    def _(folder):
        (folder / name).write_bytes(encode(FILM, "PNG"))
        return folder / name


add_name("wrong suffix", "film.jpeg")
add_name("suffix of a program", "film.exe")
add_name("no suffix", "film")
add_name("emoji and right-to-left marks in the name", "🫁\u202egnp.film.png")
if ANY_NAMES:
    add_name("line break and quotes in the name", "fi\nlm\t'\".png")


# --- cut short and damaged -----------------------------------------------------------------------------

WHOLE = {
    "JPEG": encode(FILM, "JPEG", quality=90),
    "progressive JPEG": encode(FILM, "JPEG", quality=90, progressive=True),
    "PNG": encode(FILM, "PNG"),
    "BMP": encode(FILM, "BMP"),
    "TIFF": encode(FILM, "TIFF"),
    "LZW TIFF": encode(FILM, "TIFF", compression="tiff_lzw"),
    "deflate TIFF": encode(FILM, "TIFF", compression="tiff_adobe_deflate"),
    "JPEG TIFF": encode(FILM, "TIFF", compression="jpeg"),
    "WebP": encode(FILM, "WEBP", quality=90),
    "lossless WebP": encode(FILM, "WEBP", lossless=True),
}
for _name, _data in WHOLE.items():
    add(f"{_name} cut at half", _data[: len(_data) // 2])
    if _name not in ("LZW TIFF", "deflate TIFF", "JPEG TIFF"):  # their pixels come before their tags
        add(f"{_name} without its last bytes", _data[:-3])
for _name in ("JPEG", "progressive JPEG", "PNG"):  # in others, zeros can be pixels
    _half = len(WHOLE[_name]) // 2
    add(f"{_name} whose second half is zeros", WHOLE[_name][:_half] + bytes(_half))
for _name in ("JPEG", "progressive JPEG"):
    add(f"{_name} whose scan ends early", cut_scan(WHOLE[_name], 0.6))
add("JPEG of only its header", WHOLE["JPEG"][: WHOLE["JPEG"].rindex(b"\xff\xda")] + b"\xff\xd9")
add("colour JPEG whose scan ends early", cut_scan(encode(np.dstack([FILM] * 3), "JPEG"), 0.7))
add("PNG with a wrong checksum", WHOLE["PNG"][:-20] + bytes([WHOLE["PNG"][-20] ^ 1]) + WHOLE["PNG"][-19:])


# --- several frames, and what is odd but good ----------------------------------------------------------

_frames = [Image.fromarray(FILM), Image.fromarray(SMOOTH)]
for _format in ("TIFF", "WEBP", "PNG"):
    add(f"{_format} of two frames", encode(_frames[0], _format, save_all=True, append_images=_frames[1:]))
add("PNG and what comes after it", WHOLE["PNG"] + b"trailing" * 1000, FILM)
add(
    "JPEG and random bytes behind it",
    WHOLE["JPEG"] + np.random.default_rng(3).bytes(50_000),
    read_by_pillow(WHOLE["JPEG"]),
)
add("black JPEG", encode(np.zeros((48, 64), np.uint8), "JPEG"), np.zeros((48, 64), np.uint8))
add(
    "progressive black JPEG",
    encode(np.zeros((48, 64), np.uint8), "JPEG", progressive=True),
    np.zeros((48, 64), np.uint8),
)
add("JPEG with restart markers", encode(SMOOTH, "JPEG", quality=95, restart_marker_blocks=2), SMOOTH, 8)
_turned = {2: FILM[:, ::-1], 3: FILM[::-1, ::-1], 4: FILM[::-1], 5: FILM.T, 6: np.rot90(FILM, -1)}
_turned |= {7: FILM[::-1, ::-1].T, 8: np.rot90(FILM)}
for _orientation, _upright in _turned.items():
    _note = Image.Exif()
    _note[0x0112] = _orientation
    for _format in ("PNG", "TIFF"):
        add(f"{_format} turned by orientation {_orientation}", encode(FILM, _format, exif=_note), _upright)
for _depth in (1, 2, 4):
    _levels = np.tile(np.arange(2**_depth, dtype=np.uint8), (16, 64 // 2**_depth))
    _bits = np.unpackbits(_levels[..., None], axis=2)[..., 8 - _depth :].reshape(16, -1)
    _lines = b"".join(b"\0" + row.tobytes() for row in np.packbits(_bits, axis=1))
    add(
        f"PNG of {_depth} bits",
        make_png(64, 16, zlib.compress(_lines), depth=_depth),
        _levels * (255 // (2**_depth - 1)),
    )
_wide = np.zeros((48, 64, 4), ">u2")
_wide[..., :3], _wide[..., 3] = (FILM.astype(np.uint16) << 8)[..., None], 65_535
add(
    "PNG of 16 bits with transparency",
    make_png(64, 48, zlib.compress(b"".join(b"\0" + row.tobytes() for row in _wide)), depth=16, colour=6),
    FILM,
    1,
)
add(
    "PNG of 16 bits in colour",
    make_png(
        64, 48, zlib.compress(b"".join(b"\0" + row[:, :3].tobytes() for row in _wide)), depth=16, colour=2
    ),
    FILM,
    1,
)
add("interlaced PNG", lambda: make_png(64, 48, zlib.compress(interlace(FILM)), lace=1), FILM)
add("TIFF compressed by LZW", WHOLE["LZW TIFF"], FILM)
add("TIFF compressed by deflate", WHOLE["deflate TIFF"], FILM)
add("TIFF compressed by PackBits", encode(FILM, "TIFF", compression="packbits"), FILM)
add("TIFF compressed by JPEG", encode(SMOOTH, "TIFF", compression="jpeg", quality=95), SMOOTH, 8)
add("big TIFF", encode(FILM, "TIFF", big_tiff=True), FILM)
add(
    "inverted CMYK JPEG of Adobe",
    encode(
        Image.merge("CMYK", [Image.new("L", (64, 48), 0)] * 3 + [Image.fromarray(255 - SMOOTH)]),
        "JPEG",
        quality=95,
    ),
    SMOOTH,
    8,
)
add("lossless WebP", WHOLE["lossless WebP"], FILM, 1)


# --- DICOM ---------------------------------------------------------------------------------------------

GOOD = make_dicom(FILM)
RAW16 = (FILM.astype(np.uint16) << 4) | (FILM >> 4)  # 0 to 4095, as 255 << 4 | 15 is 4095
LEVELS16 = ((RAW16.astype(float) - RAW16.min()) / (RAW16.max() - RAW16.min()) * 255).round().astype(np.uint8)


def change_dicom(*, pixels=FILM, frame=None, syntax=EXPLICIT, drop=(), **tags) -> bytes:
    """A film with these elements changed or left out."""
    dataset = make_dataset(pixels, **tags)
    for keyword in drop:
        delattr(dataset, keyword)
    return write(dataset, syntax, frame=frame)


def make_directory() -> bytes:
    """A list of DICOM files."""
    from pydicom.dataset import Dataset

    directory = Dataset()
    directory.FileSetID, directory.DirectoryRecordSequence = "FILMS", []
    directory.SOPClassUID, directory.SOPInstanceUID = "1.2.840.10008.1.3.10", "1.2.3"
    return write(directory)


for _syntax in LOSSLESS:
    _film = make_dicom(RAW16, _syntax, bits=12)
    add(f"DICOM of 12 bits in {_syntax}", _film, LEVELS16)
    add(f"DICOM cut at half in {_syntax}", _film[: len(_film) // 2])
add("DICOM", GOOD, FILM)
add("DICOM and what comes after it", GOOD + make_element(0x7FE00011, b"OB", b"xx"), FILM)
add("DICOM without its first 132 bytes", GOOD[132:], FILM)
add("DICOM cut within its elements", GOOD[:300])
add("DICOM without pixels", lambda: change_dicom(drop=["PixelData"]))
add("DICOM of several frames", lambda: change_dicom(NumberOfFrames=2))
add("DICOM whose size is more than its bytes", lambda: change_dicom(Rows=49))
add("DICOM of a palette", lambda: change_dicom(PhotometricInterpretation="PALETTE COLOR"))
add("DICOM of modality CT", lambda: change_dicom(Modality="CT"))
add("DICOM without a modality", lambda: change_dicom(drop=["Modality"]), FILM)
add("DICOM of an unknown transfer syntax", GOOD.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
add("DICOM of a video", lambda: change_dicom(syntax="1.2.840.10008.1.2.4.102", frame=bytes(1000)))
add("DICOM whose white is zero", lambda: change_dicom(PhotometricInterpretation="MONOCHROME1"), 255 - FILM)
add(
    "DICOM with an unknown private element",
    insert_elements(GOOD, make_element(0x00091010, b"UN", b"abcd")),
    FILM,
)
add("DICOM directory", make_directory)
_ended = {
    DICOM_JPEG: cut_scan(WHOLE["JPEG"], 0.6),
    JPEG_LOSSLESS_SV1: cut_scan(encode_frame(FILM, JPEG_LOSSLESS_SV1), 0.6),
    JPEG_LS: cut_scan(encode_frame(FILM, JPEG_LS), 0.6),
    JPEG2000_LOSSLESS: encode_frame(FILM, JPEG2000_LOSSLESS)[:1500] + b"\xff\xd9",
}
for _syntax, _frame in _ended.items():
    add(f"DICOM whose frame ends early in {_syntax}", write(make_dataset(FILM), _syntax, frame=_frame))
