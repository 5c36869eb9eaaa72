"""Kinds of hostile and odd files, each with what must come of it, known from how the file was made.

`KINDS` serves the tests and `benchmarks/hostile_files.py`. A kind is made into a folder and gives what
`load_image` is called with: bytes, a path or an array. It must be accepted, with these pixels or this
shape, or rejected (None).
"""

import gzip
import io
import os
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dicom_files import (
    DEFLATED,
    EXPLICIT,
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
from dicom_files import JPEG as DICOM_JPEG
from PIL import Image

PIXELS_AT_LIMIT = (5_000, 6_000)
"""Height and width of 30 million pixels, as many as are read."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: What it is, in words.
        make: Gives the source for `load_image`; takes a folder for files of its own.
        expected: uint8 (H, W) or a shape where it must be accepted; None where it must be rejected.
        tolerance: How far a pixel may be from `expected`, levels.
        is_large: It takes a second or more to make.
    """

    name: str
    make: Callable[[Path], object]
    expected: np.ndarray | tuple[int, int] | None
    tolerance: int = 0
    is_large: bool = False


KINDS: list[Kind] = []


def accepted(name: str, expected, tolerance: int = 0, *, is_large: bool = False):
    """Adds the decorated maker as a kind that must be read."""
    return lambda make: KINDS.append(Kind(name, make, expected, tolerance, is_large)) or make


def rejected(name: str, *, is_large: bool = False):
    """Adds the decorated maker as a kind that must be refused."""
    return lambda make: KINDS.append(Kind(name, make, None, 0, is_large)) or make


def add(name: str, data: bytes | Callable[[], bytes], expected=None, tolerance: int = 0, **options) -> None:
    """Adds bytes, or what makes them, as a kind."""
    KINDS.append(
        Kind(name, lambda folder: data() if callable(data) else data, expected, tolerance, **options)
    )


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


def compress_zeros(count: int, *, wbits: int = 15) -> bytes:
    """So many zero bytes, compressed without ever holding them all."""
    engine, block = zlib.compressobj(1, zlib.DEFLATED, wbits), bytes(1_000_000)
    parts = [engine.compress(block) for _ in range(count // len(block))]
    return b"".join([*parts, engine.compress(bytes(count % len(block))), engine.flush()])


def make_tiff(entries: list[tuple[int, int, int, bytes]], data: bytes = b"", *, next_ifd: int = 0) -> bytes:
    """A little-endian TIFF: `data` from byte 8 on, then its one directory of (tag, type, count, value)."""
    directory = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        directory += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")[:4]
    at = 8 + len(data)
    return b"II*\0" + struct.pack("<I", at) + data + directory + struct.pack("<I", next_ifd)


def make_tiff_entries(width: int, height: int, *, start=8, count=None, compression=1, bits=8, photometric=1):
    """The entries of a grey TIFF of one strip."""
    count = width * height * bits // 8 if count is None else count
    numbers = {256: width, 257: height, 258: bits, 259: compression, 262: photometric, 273: start, 277: 1}
    numbers |= {278: height, 279: count}
    return [(tag, 4, 1, struct.pack("<I", number)) for tag, number in numbers.items()]


def make_bmp(width: int, height: int, data: bytes, *, bits=8, compression=0, colours=256) -> bytes:
    """A BMP with a grey palette."""
    palette = b"".join(bytes((level, level, level, 0)) for level in range(colours))
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + palette + data


def make_webp(kind: bytes, body: bytes) -> bytes:
    """A WebP of one chunk."""
    content = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(content)) + content


def make_exif(orientation: int, *, count: int = 1) -> bytes:
    """A camera's note with a rotation."""
    entry = struct.pack("<HHIHH", 0x0112, 3, count, orientation, 0)
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)


def make_jpeg_segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def insert_in_jpeg(data: bytes, segments: bytes) -> bytes:
    """A JPEG with segments after its first marker."""
    return data[:2] + segments + data[2:]


def cut_scan(data: bytes, share: float) -> bytes:
    """A JPEG whose scan ends early but properly, by an end marker: decoders fill the rest with grey."""
    start = data.rindex(b"\xff\xda")
    return data[: start + int(share * (len(data) - start))].rstrip(b"\xff") + b"\xff\xd9"


def read_by_pillow(data: bytes) -> np.ndarray:
    """The pixels that Pillow gives."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


# --- what cannot be a film ------------------------------------------------------------------------------

add("empty", b"")
add("one byte", b"\xff")
add("four bytes of a JPEG", b"\xff\xd8\xff\xe0")
add("a million zeros", bytes(1_000_000))
add("random bytes", np.random.default_rng(1).bytes(100_000))
add("web page", b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 20)
add("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"><rect/></svg>')
add("SVG that reads another file", b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/hostname">]><svg>&x;</svg>')
add("PDF", encode(FILM, "PDF"))
add("PDF that carries a JPEG", b"%PDF-1.4\n" + encode(FILM, "JPEG"))
add("PostScript", encode(Image.fromarray(FILM), "EPS"))
add("GIF", encode(FILM, "GIF"))
add("GIF that is a script too", b"GIF89a/*" + bytes(40) + b"*/=1;alert(1)")
add("PPM", encode(FILM, "PPM"))
add("ICO", encode(FILM, "ICO"))
add("TGA", encode(FILM, "TGA"))
add("JPEG 2000 file", encode(FILM, "JPEG2000"))
add("AVIF header", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(200))
add("HEIC header", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
add("MP4 header", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(200))
add("JPEG XL stream", b"\xff\x0a" + bytes(200))
add("JPEG XL file", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200))
add("ELF program", b"\x7fELF\2\1\1" + bytes(500))
add("Windows program", b"MZ\x90\0" + bytes(500))
add("gzip of a PNG", gzip.compress(encode(FILM, "PNG")))
add("sound in RIFF", b"RIFF\x24\0\0\0WAVEfmt " + bytes(100))
add("Python pickle", pickle.dumps({"a": FILM}))
add("text", b"This is not a film.\n" * 50)


@rejected("zip of a PNG")
def _(folder):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("film.png", encode(FILM, "PNG"))
    return stream.getvalue()


@rejected("pickle that would make a file")
def _(folder):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "owned"),))

    path = folder / "film.png"
    path.write_bytes(pickle.dumps(Payload()))
    return path


@rejected("checkpoint given as a film")
def _(folder):
    import torch  # only here: it weighs more than all the rest

    path = folder / "best_model.pth"
    torch.save({"state": {"weight": torch.zeros(3)}}, path)
    return path


# --- paths ----------------------------------------------------------------------------------------------


@rejected("folder")
def _(folder):
    return folder


@rejected("missing file")
def _(folder):
    return folder / "missing.png"


@rejected("name with a zero byte")
def _(folder):
    return "film\0.png"


@rejected("name of 2,000 characters")
def _(folder):
    return folder / ("a" * 2000 + ".png")


@rejected("empty path")
def _(folder):
    return ""


@rejected("lone surrogate in the name")
def _(folder):
    return str(folder / "film\udcff\ud800.png")


if sys.platform != "win32":

    @rejected("pipe that nobody writes to")
    def _(folder):
        os.mkfifo(folder / "film.png")
        return folder / "film.png"

    @rejected("endless device")
    def _(folder):
        return "/dev/zero"

    @rejected("link that points at itself")
    def _(folder):
        (folder / "film.png").symlink_to(folder / "film.png")
        return folder / "film.png"

    @rejected("link to nowhere")
    def _(folder):
        (folder / "film.png").symlink_to(folder / "gone.png")
        return folder / "film.png"

    @accepted("link to a film", FILM)
    def _(folder):
        (folder / "film.png").write_bytes(encode(FILM, "PNG"))
        (folder / "link.png").symlink_to(folder / "film.png")
        return folder / "link.png"


def add_name(title: str, name: str) -> None:
    """A film under an odd name, which plays no part."""

    @accepted(title, FILM)
    def _(folder):
        (folder / name).write_bytes(encode(FILM, "PNG"))
        return folder / name


add_name("wrong suffix", "film.jpeg")
add_name("suffix of a program", "film.exe")
add_name("no suffix", "film")
add_name("emoji and right-to-left marks in the name", "🫁\u202egnp.film.png")
if sys.platform != "win32":
    add_name("line break and quotes in the name", "fi\nlm\t'\".png")


@rejected("file of more bytes than are read")
def _(folder):
    path = folder / "film.png"
    with open(path, "wb") as file:
        file.write(encode(FILM, "PNG"))
        file.truncate(4_000_000_000)  # the rest is a hole and takes no room on the disk
    return path


# --- arrays ---------------------------------------------------------------------------------------------


def add_array(name: str, array: np.ndarray, expected=None) -> None:
    """An array instead of a file."""
    KINDS.append(Kind(name, lambda folder: array, expected))


add_array("array of complex numbers", np.zeros((20, 20), complex))
add_array("array of objects", np.full((20, 20), None))
add_array("array of text", np.full((20, 20), "a"))
add_array("array of dates", np.zeros((20, 20), "datetime64[s]"))
add_array("array of bool", np.zeros((20, 20), bool))
add_array("array of 64-bit integers", np.zeros((20, 20), np.int64))
add_array("array without axes", np.array(3, np.uint8))
add_array("array without pixels", np.zeros((0, 20), np.uint8))
add_array("array of four axes", np.zeros((1, 20, 20, 3), np.uint8))
add_array("array of 100,000 x 1", np.zeros((1, 100_000), np.uint8))
add_array("array that claims a trillion pixels", np.broadcast_to(np.uint8(0), (1_000_000, 1_000_000)))
add_array("array with NaN", np.full((20, 20), np.nan))
add_array("array with infinity", np.where(np.eye(20) > 0, np.inf, 1.0))
add_array("array of huge floats", np.where(np.eye(20) > 0, 1.7e308, -1.7e308))
add_array("array of big-endian words", np.array([[0, 255]] * 20, ">u2").repeat(10, 1),
          np.array([[0, 255]] * 20, np.uint8).repeat(10, 1))  # fmt: skip
add_array("array seen backwards", FILM[::-1, ::-1], FILM[::-1, ::-1])
add_array("read-only array", np.frombuffer(FILM.tobytes(), np.uint8).reshape(FILM.shape), FILM)

# --- cut short and damaged ------------------------------------------------------------------------------

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
    for _share in (0.05, 0.25, 0.5, 0.75, 0.95):
        add(f"{_name} cut at {_share:.0%}", _data[: int(_share * len(_data))])
    if _name not in ("LZW TIFF", "deflate TIFF", "JPEG TIFF"):  # their pixels come before their tags
        add(f"{_name} without its last bytes", _data[:-3])
    if "JPEG" in _name or _name == "PNG":  # in others, zeros can be pixels
        add(f"{_name} whose second half is zeros", _data[: len(_data) // 2] + bytes(len(_data) // 2))
for _name in ("JPEG", "progressive JPEG"):
    for _share in (0.3, 0.6, 0.9):
        add(f"{_name} whose scan ends at {_share:.0%} by an end marker", cut_scan(WHOLE[_name], _share))
add("JPEG of only its header", WHOLE["JPEG"][: WHOLE["JPEG"].rindex(b"\xff\xda")] + b"\xff\xd9")
add("colour JPEG whose scan ends early", cut_scan(encode(np.dstack([FILM] * 3), "JPEG"), 0.7))
add("JPEG with a wrong Huffman table", WHOLE["JPEG"].replace(b"\xff\xc4\x00", b"\xff\xc4\xf0", 1))
add("JPEG of 41 scans", lambda: make_many_scans(41))
add("PNG with a wrong checksum", WHOLE["PNG"][:-20] + bytes([WHOLE["PNG"][-20] ^ 1]) + WHOLE["PNG"][-19:])
add(
    "PNG without pixels",
    b"\x89PNG\r\n\x1a\n" + make_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0)),
)
add("PNG whose pixels end too soon", make_png(64, 48, zlib.compress(bytes(65 * 20))))
add("PNG with its pixels after its end", b"\x89PNG\r\n\x1a\n"
    + make_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0)) + make_chunk(b"IEND", b"")
    + make_chunk(b"IDAT", zlib.compress(bytes(65 * 48))))  # fmt: skip
add("PNG of an unknown filter", make_png(64, 48, zlib.compress((b"\x09" + bytes(64)) * 48)))
add("PNG of depth 3", make_png(64, 48, zlib.compress(bytes(65 * 48)), depth=3))
add("PNG palette without a palette", make_png(64, 48, zlib.compress(bytes(65 * 48)), colour=3, depth=9))


def make_many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each goes over the whole image."""
    data = WHOLE["progressive JPEG"]
    start = data.rindex(b"\xff\xda")
    already = data.count(b"\xff\xda")
    return data[:-2] + data[start:-2] * (count - already) + b"\xff\xd9"


# --- claims and bombs -----------------------------------------------------------------------------------

TINY = zlib.compress(bytes(10))
TIFF_DATA = zlib.compress(FILM.tobytes())
for _width, _height in (
    (50_000, 50_000),
    (100_000, 1),
    (1, 100_000),
    (1, 1),
    (0, 0),
    (15, 64),
    (2**31 - 1, 2**31 - 1),
):
    add(f"PNG that claims {_width} x {_height}", make_png(_width, _height, TINY))
    add(
        f"TIFF that claims {_width} x {_height}",
        make_tiff(make_tiff_entries(_width, _height, count=10), bytes(10)),
    )
    add(f"BMP that claims {_width} x {_height}", make_bmp(_width, _height, bytes(10)))
for _width, _height in ((65_000, 65_000), (0, 0), (1, 1)):
    _at = WHOLE["JPEG"].index(b"\xff\xc0") + 5
    add(f"JPEG that claims {_width} x {_height}",
        WHOLE["JPEG"][:_at] + struct.pack(">HH", _height, _width) + WHOLE["JPEG"][_at + 4 :])  # fmt: skip
_canvas = bytes(4) + b"\xff\x3f\0" * 2
add("WebP that claims 16,384 x 16,384", make_webp(b"VP8X", _canvas))
add("lossless WebP that claims 16,384 x 16,384", make_webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(20)))
add(
    "lossy WebP that claims 16,383 x 16,383",
    make_webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(20)),
)
add("WebP cut within VP8X", make_webp(b"VP8X", _canvas)[:24])
add(
    "PNG of 30,000 x 30,000 zeros",
    lambda: make_png(30_000, 30_000, compress_zeros(30_001 * 30_000)),
    is_large=True,
)
for _kind, _head in ((b"iCCP", b"icc\0\0"), (b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0")):
    add(
        f"PNG whose {_kind.decode()} text inflates to 100 MB",
        lambda kind=_kind, head=_head: make_png(
            64, 48, zlib.compress(bytes(65 * 48)), before=make_chunk(kind, head + compress_zeros(100_000_000))
        ),
    )
add(
    "PNG of 10,000 compressed texts",
    lambda: make_png(
        64,
        48,
        zlib.compress(bytes(65 * 48)),
        before=make_chunk(b"zTXt", b"Comment\0\0" + compress_zeros(900_000)) * 10_000,
    ),
)
add(
    "PNG of a million parts",
    lambda: make_png(64, 48, zlib.compress(bytes(65 * 48)), before=make_chunk(b"teSt", b"") * 1_000_000),
)
add(
    "JPEG of a million parts",
    lambda: insert_in_jpeg(WHOLE["JPEG"], make_jpeg_segment(0xE5, b"") * 1_000_000),
)
_shared = struct.pack("<H", 2_000) + struct.pack("<HHII", 33000, 7, 5_000_000, 8) * 2_000
add(
    "TIFF of 2,000 tags that share 5 MB",
    lambda: (
        b"II*\0" + struct.pack("<I", 8 + 5_000_000) + bytes(5_000_000) + struct.pack("<H", 2_000) + _shared
    ),
)
add("JPEG of 20 notes whose 10,000 entries share 600 KB", lambda: make_shared_exif())
add(
    "TIFF of one tile of 60,000 x 60,000",
    lambda: make_tiff(
        [e for e in make_tiff_entries(64, 48, compression=8) if e[0] not in (273, 278, 279)]
        + [(322, 4, 1, struct.pack("<I", 60_000)), (323, 4, 1, struct.pack("<I", 60_000))]
        + [(324, 4, 1, struct.pack("<I", 8)), (325, 4, 1, struct.pack("<I", 3_000_000))],
        compress_zeros(700_000_000).ljust(3_100_000, b"\0"),
    ),
    is_large=True,
)
for _tag in (256, 257, 258, 277):
    add(
        f"TIFF whose tag {_tag} comes twice",
        make_tiff(
            [
                (_tag, 4, 1, struct.pack("<I", 50_000)),
                *make_tiff_entries(64, 48, compression=8, count=len(TIFF_DATA)),
            ],
            TIFF_DATA,
        ),
        None,
    )
add("TIFF of 65,535 tags that are not there", b"II*\0\x08\0\0\0\xff\xff" + bytes(100))
add(
    "TIFF whose tag has a billion values",
    make_tiff([*make_tiff_entries(64, 48), (33000, 4, 1_000_000_000, b"\x08")], FILM.tobytes()),
)
add(
    "TIFF with a billion strips",
    make_tiff(
        [(273, 4, 1_000_000_000, b"\x08") if e[0] == 273 else e for e in make_tiff_entries(64, 48)],
        FILM.tobytes(),
    ),
)
add(
    "TIFF whose directory is followed by itself",
    make_tiff(make_tiff_entries(64, 48), FILM.tobytes(), next_ifd=8 + FILM.size),
    FILM,
)
add("TIFF of two directories that form a ring", lambda: make_ring())
add(
    "TIFF whose next directory is outside",
    make_tiff(make_tiff_entries(64, 48), FILM.tobytes(), next_ifd=2**32 - 9),
)
add("TIFF whose strip is outside", make_tiff(make_tiff_entries(64, 48, start=2**31), FILM.tobytes()))
add("TIFF whose strip is too short", make_tiff(make_tiff_entries(64, 48), FILM.tobytes()[:1000]))
add(
    "TIFF that inflates to little", make_tiff(make_tiff_entries(64, 48, compression=8, count=len(TINY)), TINY)
)
add("TIFF of fax code", encode(Image.fromarray(FILM).convert("1"), "TIFF", compression="group4"))
add("TIFF of an unknown compression", make_tiff(make_tiff_entries(64, 48, compression=4242), FILM.tobytes()))
add("TIFF of 64-bit samples", make_tiff(make_tiff_entries(64, 48, bits=64), bytes(64 * 48 * 8)))
add("TIFF with NaN", encode(np.where(np.eye(48) > 0, np.nan, 1).astype(np.float32), "TIFF"))
add("TIFF with infinity", encode(np.where(np.eye(48) > 0, np.inf, 1).astype(np.float32), "TIFF"))
add("TIFF whose directory lies beyond its end", b"II*\0\xff\xff\xff\x7f" + bytes(100))
add("big TIFF whose directory lies beyond its end", b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(100))
add("BMP whose pixels start beyond its end", WHOLE["BMP"][:10] + b"\xff\xff\xff\x7f" + WHOLE["BMP"][14:])
add("run-length BMP that ends at once", make_bmp(64, 48, b"\0\1", compression=1))
add("run-length BMP of endless jumps", make_bmp(64, 48, b"\0\2\xff\xff" * 1000, compression=1))
add("BMP whose header has an unknown size", WHOLE["BMP"][:14] + b"\x99\0\0\0" + WHOLE["BMP"][18:])

# --- several frames -------------------------------------------------------------------------------------

_frames = [Image.fromarray(FILM), Image.fromarray(SMOOTH)]
for _format in ("TIFF", "WEBP", "PNG"):
    add(f"{_format} of two frames", encode(_frames[0], _format, save_all=True, append_images=_frames[1:]))

# --- odd, but good --------------------------------------------------------------------------------------

_rows = [b"\0" + row.tobytes() for row in FILM]
PNG_DATA = zlib.compress(b"".join(_rows))
add("PNG and what comes after it", WHOLE["PNG"] + b"trailing" * 1000, FILM)
add("PNG in a hundred pieces", lambda: make_split_png(100), FILM)
add(
    "PNG with more pixels than it needs",
    make_png(64, 48, zlib.compress(b"".join(_rows) + bytes(65 * 10))),
    FILM,
)
add("PNG with an unknown chunk", make_png(64, 48, PNG_DATA, before=make_chunk(b"teSt", bytes(99))), FILM)
add("PNG with text", make_png(64, 48, PNG_DATA, before=make_chunk(b"tEXt", b"Comment\0hello")), FILM)
add(
    "JPEG and a zip behind it",
    lambda: WHOLE["JPEG"] + KINDS_BY_NAME["zip of a PNG"].make(Path()),
    read_by_pillow(WHOLE["JPEG"]),
)
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
add(
    "JPEG with a comment of 64 KB",
    insert_in_jpeg(WHOLE["JPEG"], make_jpeg_segment(0xFE, b"\xff\xd9" * 32_000)),
    read_by_pillow(WHOLE["JPEG"]),
)
add(
    "JPEG with a thousand notes",
    insert_in_jpeg(WHOLE["JPEG"], make_jpeg_segment(0xE5, bytes(60_000)) * 1000),
    read_by_pillow(WHOLE["JPEG"]),
)
add("JPEG with 10,000 notes", insert_in_jpeg(WHOLE["JPEG"], make_jpeg_segment(0xE5, bytes(10)) * 10_000))
for _orientation in (0, 1, 9, 65_535):
    add(
        f"JPEG turned by orientation {_orientation}",
        insert_in_jpeg(WHOLE["JPEG"], make_jpeg_segment(0xE1, make_exif(_orientation))),
        read_by_pillow(WHOLE["JPEG"]),
    )
_turned = {2: FILM[:, ::-1], 3: FILM[::-1, ::-1], 4: FILM[::-1], 5: FILM.T, 6: np.rot90(FILM, -1)}
_turned |= {7: FILM[::-1, ::-1].T, 8: np.rot90(FILM)}
for _orientation, _upright in _turned.items():
    _note = Image.Exif()
    _note[0x0112] = _orientation
    for _format in ("PNG", "TIFF"):
        add(f"{_format} turned by orientation {_orientation}", encode(FILM, _format, exif=_note), _upright)
add(
    "JPEG whose note is rubbish",
    insert_in_jpeg(WHOLE["JPEG"], make_jpeg_segment(0xE1, b"Exif\0\0" + bytes(range(200)))),
    read_by_pillow(WHOLE["JPEG"]),
)
add(
    "JPEG whose note has a million rotations",
    insert_in_jpeg(WHOLE["JPEG"], make_jpeg_segment(0xE1, make_exif(6, count=1_000_000))),
    read_by_pillow(WHOLE["JPEG"]),
)
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
add("BMP from top to bottom", make_bmp(64, -48, FILM.tobytes()), FILM)
add(
    "run-length BMP",
    make_bmp(
        64,
        48,
        b"".join(b"".join(bytes((1, v)) for v in row) + b"\0\0" for row in FILM[::-1]) + b"\0\1",
        compression=1,
    ),
)
_os2 = (
    b"BM"
    + struct.pack("<IHHI", 26 + 768 + FILM.size, 0, 0, 26 + 768)
    + struct.pack("<IHHHH", 12, 64, 48, 1, 8)
)
add("BMP of OS/2", _os2 + b"".join(bytes((level,) * 3) for level in range(256)) + FILM[::-1].tobytes(), FILM)
add("TIFF by hand", make_tiff(make_tiff_entries(64, 48), FILM.tobytes()), FILM)
add(
    "TIFF whose zero is white",
    make_tiff(make_tiff_entries(64, 48, photometric=0), FILM.tobytes()),
    255 - FILM,
)
add(
    "TIFF that names another file",
    make_tiff([*make_tiff_entries(64, 48), (269, 2, 4, b"/etc")], FILM.tobytes()),
    FILM,
)
add("TIFF of tiles", lambda: make_tiled_tiff(), FILM)
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


def make_split_png(pieces: int) -> bytes:
    """The film as a PNG whose pixels come in many chunks."""
    step = -(-len(PNG_DATA) // pieces)
    chunks = [make_chunk(b"IDAT", PNG_DATA[at : at + step]) for at in range(0, len(PNG_DATA), step)]
    header = make_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + make_chunk(b"IEND", b"")


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


def make_ring() -> bytes:
    """A TIFF whose second directory names the first one as the next."""
    data = make_tiff(make_tiff_entries(64, 48), FILM.tobytes())
    directory = data[8 + FILM.size : -4]
    first = data[:-4] + struct.pack("<I", len(data))
    return first + directory + struct.pack("<I", 8 + FILM.size)


def make_tiled_tiff() -> bytes:
    """The film in 12 tiles of 16 x 16."""
    tiles = [
        FILM[top : top + 16, left : left + 16].tobytes()
        for top in range(0, 48, 16)
        for left in range(0, 64, 16)
    ]
    starts = struct.pack("<12I", *(8 + 256 * index for index in range(12)))
    data = b"".join(tiles) + starts + struct.pack("<12I", *[256] * 12)
    numbers = {256: 64, 257: 48, 258: 8, 259: 1, 262: 1, 277: 1, 322: 16, 323: 16}
    entries = [(tag, 4, 1, struct.pack("<I", number)) for tag, number in numbers.items()]
    entries += [(324, 4, 12, struct.pack("<I", 8 + 3072)), (325, 4, 12, struct.pack("<I", 8 + 3072 + 48))]
    return make_tiff(entries, data)


# --- DICOM ----------------------------------------------------------------------------------------------

GOOD = make_dicom(FILM)
RAW16 = (FILM.astype(np.uint16) << 4) | (FILM >> 4)  # 0 to 4095, as 255 << 4 | 15 is 4095
LEVELS16 = ((RAW16.astype(float) - RAW16.min()) / (RAW16.max() - RAW16.min()) * 255).round().astype(np.uint8)


def add_dicom(name: str, *, expected=None, pixels=FILM, frame=None, syntax=EXPLICIT, drop=(), **tags) -> None:
    """A film with these elements changed."""

    def make() -> bytes:
        dataset = make_dataset(pixels, **tags)
        for keyword in drop:
            delattr(dataset, keyword)
        return write(dataset, syntax, frame=frame)

    add(name, make, expected)


for _syntax in LOSSLESS:
    add(f"DICOM of 12 bits in {_syntax}", lambda syntax=_syntax: make_dicom(RAW16, syntax, bits=12), LEVELS16)
    add(
        f"DICOM cut at half in {_syntax}",
        lambda syntax=_syntax: (d := make_dicom(RAW16, syntax, bits=12))[: len(d) // 2],
    )
    add(
        f"DICOM without its last 40 bytes in {_syntax}",
        lambda syntax=_syntax: make_dicom(RAW16, syntax, bits=12)[:-40],
    )
add("DICOM", GOOD, FILM)
add("DICOM and what comes after it", GOOD + make_element(0x7FE00011, b"OB", b"xx"), FILM)
add("DICOM whose first bytes are a TIFF's", b"II*\0" + GOOD[4:], FILM)
add("DICOM of nothing but its mark", bytes(128) + b"DICM")
add("DICOM of a mark and rubbish", bytes(128) + b"DICM" + np.random.default_rng(4).bytes(1000))
add("DICOM without its first 132 bytes", GOOD[132:])
add("DICOM cut within its elements", GOOD[:300])
add_dicom("DICOM without pixels", drop=["PixelData"])
add_dicom("DICOM without rows", drop=["Rows"])
add_dicom("DICOM of several frames", NumberOfFrames=2)
add_dicom("DICOM of minus one frames", NumberOfFrames=-1)
add_dicom("DICOM whose size is more than its bytes", Rows=49)
add_dicom("DICOM of 65,535 x 65,535", Rows=65_535, Columns=65_535)
add_dicom("DICOM of 0 x 0", Rows=0, Columns=0)
add_dicom("DICOM of 8 rows", Rows=8)
add_dicom("DICOM of 1 bit", BitsAllocated=1, BitsStored=1)
add_dicom("DICOM of 32 bits", BitsAllocated=32, BitsStored=32)
add_dicom("DICOM of 12 bits allocated", BitsAllocated=12)
add_dicom("DICOM of 16 bits in 8", BitsStored=16)
add_dicom("DICOM of no bits", BitsStored=0)
add_dicom("DICOM of four samples", SamplesPerPixel=4)
add_dicom("DICOM of a palette", PhotometricInterpretation="PALETTE COLOR")
add_dicom("DICOM of an unknown colour space", PhotometricInterpretation="PINK")
add_dicom("DICOM of modality CT", Modality="CT")
add_dicom("DICOM whose modality is a name", Modality="GEHEIM GISELA")
add_dicom("DICOM without a modality", drop=["Modality"], expected=FILM)
add("DICOM of an unknown transfer syntax", GOOD.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
add_dicom("DICOM of a video", syntax="1.2.840.10008.1.2.4.102", frame=bytes(1000))
add_dicom("DICOM whose white is zero", PhotometricInterpretation="MONOCHROME1", expected=255 - FILM)
for _width in (0, -5, "nan", "1e999"):
    _text = str(_width).encode().ljust(6)
    add(f"DICOM whose window is {_width} wide",
        lambda text=_text: add_window(make_dicom(RAW16, bits=12), text), LEVELS16)  # fmt: skip
add("DICOM whose slope is not a number", lambda: add_slope(make_dicom(RAW16, bits=12), b"nan "), LEVELS16)
add("DICOM whose slope is a word", lambda: add_slope(make_dicom(RAW16, bits=12), b"word"))
add("DICOM whose slope is huge", lambda: add_slope(make_dicom(RAW16, bits=12), b"1e308 "))
add("DICOM whose element is longer than the file",
    insert_elements(GOOD, make_element(0x00091010, b"UN", b"abcd", length=0xFFFFFF00)))  # fmt: skip
add(
    "DICOM with an unknown private element",
    insert_elements(GOOD, make_element(0x00091010, b"UN", b"abcd")),
    FILM,
)
add(
    "DICOM with a private element of 50 MB",
    lambda: insert_elements(GOOD, make_element(0x00091010, b"UN", bytes(50_000_000))),
    FILM,
)
_item, _nested = b"\xfe\xff\x00\xe0\xff\xff\xff\xff", make_element(0x00400275, b"SQ", b"", length=0xFFFFFFFF)
add("DICOM of sequences 100,000 deep", insert_elements(GOOD, (_nested + _item) * 100_000))
add("DICOM of sequences without end", insert_elements(GOOD, _nested))
add(
    "DICOM of a million elements",
    lambda: insert_elements(GOOD, make_element(0x00091010, b"LO", b"ab") * 1_000_000),
)
add(
    "DICOM of a million items",
    lambda: insert_elements(GOOD, _nested + b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000),
)
add(
    "DICOM deflated from 200 MB",
    lambda: (m := make_dicom(FILM, DEFLATED))[: find_dataset(m)] + compress_zeros(200_000_000, wbits=-15),
)
add(
    "DICOM whose lookup table has a million items",
    lambda: insert_elements(GOOD, make_element(0x00283010, b"SQ", b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000)),
)
add("DICOM directory", lambda: write(make_directory()))
add("DICOM in which fragments are missing", lambda: replace_fragments(b"\xfe\xff\x00\xe0\0\0\0\0"))
add("DICOM whose JPEG is a web page", lambda: write(make_dataset(FILM), DICOM_JPEG, frame=b"<html>" * 50))
add(
    "DICOM whose JPEG is of another size",
    lambda: write(make_dataset(FILM), DICOM_JPEG, frame=encode(FILM[:32], "JPEG")),
)
add(
    "DICOM whose JPEG is in colour",
    lambda: write(make_dataset(FILM), DICOM_JPEG, frame=encode(np.dstack([FILM] * 3), "JPEG")),
)
add(
    "DICOM whose JPEG ends early",
    lambda: write(make_dataset(FILM), DICOM_JPEG, frame=cut_scan(WHOLE["JPEG"], 0.6)),
)
add(
    "DICOM whose lossless JPEG ends early",
    lambda: write(
        make_dataset(FILM), JPEG_LOSSLESS_SV1, frame=cut_scan(encode_frame(FILM, JPEG_LOSSLESS_SV1), 0.6)
    ),
)
add(
    "DICOM whose JPEG-LS ends early",
    lambda: write(make_dataset(FILM), JPEG_LS, frame=cut_scan(encode_frame(FILM, JPEG_LS), 0.6)),
)
add(
    "DICOM whose JPEG 2000 ends early",
    lambda: write(
        make_dataset(FILM),
        JPEG2000_LOSSLESS,
        frame=encode_frame(FILM, JPEG2000_LOSSLESS)[:1500] + b"\xff\xd9",
    ),
)
add(
    "DICOM whose JPEG 2000 claims 4 billion rows",
    lambda: write(
        make_dataset(FILM),
        JPEG2000_LOSSLESS,
        frame=set_at(encode_frame(FILM, JPEG2000_LOSSLESS), 12, b"\xff\xff\xff\xff"),
    ),
)
add(
    "DICOM whose JPEG 2000 has tiles of one pixel",
    lambda: write(
        make_dataset(FILM),
        JPEG2000_LOSSLESS,
        frame=set_at(encode_frame(FILM, JPEG2000_LOSSLESS), 24, struct.pack(">II", 1, 1)),
    ),
)
add(
    "DICOM whose run lengths are too few",
    lambda: write(make_dataset(FILM), RLE, frame=struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 10),
)
add(
    "DICOM whose run lengths stand for 640 MB",
    lambda: write(
        make_dataset(FILM), RLE, frame=struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 5_000_000
    ),
)
add(
    "DICOM whose second plane of run lengths is short",
    lambda: write(
        make_dataset(RAW16),
        RLE,
        frame=struct.pack("<16I", 2, 64, 112, *[0] * 13) + b"\x81\0" * 24 + b"\x81\1" * 10,
    ),
)
add("DICOM whose JPEG 2000 has blocks of 4 pixels", lambda: make_fine_jpeg2000(blocks=0))
add(
    "DICOM whose JPEG 2000 has precincts of 2 pixels",
    lambda: make_fine_jpeg2000(precincts=0x11),
    is_large=True,
)
add(
    "DICOM whose JPEG 2000 hides behind a smaller one",
    lambda: write(
        make_dataset(FILM),
        JPEG2000_LOSSLESS,
        frame=encode_frame(FILM, JPEG2000_LOSSLESS)[:100]
        + encode_frame(np.tile(FILM, (9, 9)), JPEG2000_LOSSLESS),
    ),
)
add(
    "DICOM whose run lengths start outside",
    lambda: write(make_dataset(FILM), RLE, frame=struct.pack("<16I", 1, 10_000, *[0] * 14) + b"\x81\0" * 40),
)
add("DICOM of a million empty fragments", lambda: replace_fragments(b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000))
add(
    "DICOM whose fragment is longer than the file",
    lambda: replace_fragments(b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\xff\xff\xff\x7f"),
)


def make_shared_exif() -> bytes:
    """A JPEG whose notes, put together as Pillow does, hold entries that all point at the same bytes."""
    entries = struct.pack("<HHII", 33000, 7, 600_000, 200_000) * 10_000
    note = (b"II*\0\x08\0\0\0" + struct.pack("<H", 10_000) + entries).ljust(1_000_000, b"\0")
    parts = [note[at : at + 50_000] for at in range(0, len(note), 50_000)]
    return insert_in_jpeg(
        WHOLE["JPEG"], b"".join(make_jpeg_segment(0xE1, b"Exif\0\0" + part) for part in parts)
    )


def make_fine_jpeg2000(*, blocks: int = 4, precincts: int | None = None) -> bytes:
    """A film of one grey, 30 million pixels, in so many parts that the decoder would need gigabytes."""
    pixels = np.full(PIXELS_AT_LIMIT, 100, np.uint16)
    frame = encode_frame(pixels, JPEG2000_LOSSLESS)
    at = frame.index(b"\xff\x52")  # how it is coded: flags, order, layers, levels and the sizes of blocks
    (length,) = struct.unpack_from(">H", frame, at + 2)
    body = bytearray(frame[at + 4 : at + 2 + length])
    body[6:8] = bytes([blocks, blocks])
    if precincts is not None:
        body[0] |= 1
        body += bytes([precincts] * (body[5] + 1))
    coding = b"\xff\x52" + struct.pack(">H", len(body) + 2) + body
    return write(
        make_dataset(pixels), JPEG2000_LOSSLESS, frame=frame[:at] + coding + frame[at + 2 + length :]
    )


def set_at(data: bytes, at: int, value: bytes) -> bytes:
    """Bytes of which some are others."""
    return data[:at] + value + data[at + len(value) :]


def add_window(data: bytes, width: bytes) -> bytes:
    """The film with a window whose width is this text, which pydicom itself would not write."""
    at = data.index(b"\xe0\x7f\x10\x00")
    center, wide = make_element(0x00281050, b"DS", b"2000"), make_element(0x00281051, b"DS", width)
    return data[:at] + center + wide + data[at:]


def add_slope(data: bytes, slope: bytes) -> bytes:
    """The film with a rescale slope that is this text."""
    at = data.index(b"\xe0\x7f\x10\x00")
    return (
        data[:at]
        + make_element(0x00281052, b"DS", b"0 ")
        + make_element(0x00281053, b"DS", slope)
        + data[at:]
    )


def find_dataset(data: bytes) -> int:
    """Where the elements after those of the file itself begin."""
    return 144 + struct.unpack_from("<I", data, 140)[0]


def make_directory():
    """The elements of a list of DICOM files."""
    from pydicom.dataset import Dataset

    directory = Dataset()
    directory.FileSetID, directory.DirectoryRecordSequence = "FILMS", []
    directory.SOPClassUID, directory.SOPInstanceUID = "1.2.840.10008.1.3.10", "1.2.3"
    return directory


def replace_fragments(items: bytes) -> bytes:
    """A film in JPEG-LS whose pixel data are these items."""
    data = write(make_dataset(FILM), JPEG_LS, frame=encode_frame(FILM, JPEG_LS))
    at = data.index(b"\xe0\x7f\x10\x00") + 12
    return data[:at] + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


# --- as large as it may be ------------------------------------------------------------------------------

_height, _width = PIXELS_AT_LIMIT


def make_flat(mode: str) -> Image.Image:
    """An image of one colour."""
    return Image.new(mode, (_width, _height), 100 if mode in ("L", "I", "F", "I;16") else (100,) * len(mode))


for _mode, _format, _options in (
    ("L", "PNG", {"compress_level": 1}),
    ("RGBA", "PNG", {"compress_level": 1}),
    ("F", "TIFF", {"compression": "tiff_adobe_deflate"}),
    ("CMYK", "TIFF", {"compression": "tiff_lzw"}),
    ("CMYK", "JPEG", {}),
    ("RGB", "JPEG", {"subsampling": 0, "progressive": True}),
    ("RGB", "BMP", {}),
    ("RGB", "WEBP", {"lossless": True, "method": 0, "quality": 0}),
):
    add(f"{_mode} {_format} of 30 million pixels",
        lambda m=_mode, f=_format, o=_options: encode(make_flat(m), f, **o),
        PIXELS_AT_LIMIT, is_large=True)  # fmt: skip
add(
    "CMYK JPEG of 30 million pixels in 18 scans",
    lambda: encode(make_flat("CMYK"), "JPEG", progressive=True),
    is_large=True,
)
for _syntax in (EXPLICIT, DEFLATED, JPEG_LOSSLESS_SV1, JPEG_LS, JPEG2000_LOSSLESS):
    add(f"DICOM of 30 million pixels in {_syntax}",
        lambda s=_syntax: make_dicom(np.full(PIXELS_AT_LIMIT, 100, np.uint16), s, bits=12),
        PIXELS_AT_LIMIT, is_large=True)  # fmt: skip

KINDS_BY_NAME = {kind.name: kind for kind in KINDS}
assert len(KINDS_BY_NAME) == len(KINDS), "two kinds have one name"
