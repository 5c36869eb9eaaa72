"""Pictures made to do harm, and sweeps of damage, each with what must come of it.

Bombs, false claims, endless structures, arrays of every type, and pictures as large as they may be; what
people have by accident is in `tests/odd_files.py`.
"""

import gzip
import os
import pickle
import struct
import zlib

import numpy as np
from odd_files import FILM, WHOLE, Kinds, cut_scan, encode, make_chunk, make_png, read_by_pillow
from PIL import Image

PIXELS_AT_LIMIT = (5_000, 6_000)
"""Height and width of 30 million pixels, as many as are read."""
KINDS = Kinds()
add = KINDS.add


def compress_zeros(count: int, *, wbits: int = 15) -> bytes:
    """So many zero bytes, compressed without ever holding them all."""
    engine, block = zlib.compressobj(1, zlib.DEFLATED, wbits), bytes(1_000_000)
    parts = [engine.compress(block) for _ in range(count // len(block))]
    return b"".join([*parts, engine.compress(bytes(count % len(block))), engine.flush()])


# --- strangers, paths and arrays -------------------------------------------------------------------------

add("one byte", b"\xff")
add("four bytes of a JPEG", b"\xff\xd8\xff\xe0")
add("a million zeros", bytes(1_000_000))
add("SVG that reads another file", b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/hostname">]><svg>&x;</svg>')
add("PDF that carries a JPEG", b"%PDF-1.4\n" + encode(FILM, "JPEG"))
add("PostScript", encode(Image.fromarray(FILM), "EPS"))
add("GIF that is a script too", b"GIF89a/*" + bytes(40) + b"*/=1;alert(1)")
for _format in ("PPM", "ICO", "TGA"):
    add(_format, encode(FILM, _format))
add("AVIF header", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(200))
add("MP4 header", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(200))
add("JPEG XL stream", b"\xff\x0a" + bytes(200))
add("JPEG XL file", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200))
add("ELF program", b"\x7fELF\2\1\1" + bytes(500))
add("Windows program", b"MZ\x90\0" + bytes(500))
add("gzip of a PNG", gzip.compress(encode(FILM, "PNG")))
add("sound in RIFF", b"RIFF\x24\0\0\0WAVEfmt " + bytes(100))
add("Python pickle", pickle.dumps({"a": FILM}))
KINDS.add_made("name with a zero byte")(lambda folder: "film\0.png")
KINDS.add_made("name of 2,000 characters")(lambda folder: folder / ("a" * 2000 + ".png"))
KINDS.add_made("empty path")(lambda folder: "")


@KINDS.add_made("pickle that would make a file")
def _(folder):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "owned"),))

    path = folder / "film.png"
    path.write_bytes(pickle.dumps(Payload()))
    return path


@KINDS.add_made("file of more bytes than are read")
def _(folder):
    path = folder / "film.png"
    with open(path, "wb") as file:
        file.write(encode(FILM, "PNG"))
        file.truncate(4_000_000_000)  # the rest is a hole and takes no room on the disk
    return path


def add_array(name: str, array: np.ndarray, expected=None) -> None:
    """An array instead of a file."""
    KINDS.add_made(f"array {name}", expected)(lambda folder: array)


for _type in (complex, "datetime64[s]", bool, np.int64):
    add_array(f"of {np.dtype(_type)}", np.zeros((20, 20), _type))
for _shape in ((), (0, 20), (1, 20, 20, 3), (1, 100_000)):
    add_array(f"of shape {_shape}", np.zeros(_shape, np.uint8))
for _value in (None, "a", np.nan):
    add_array(f"of {_value}", np.full((20, 20), _value))
add_array("that claims a trillion pixels", np.broadcast_to(np.uint8(0), (1_000_000, 1_000_000)))
add_array("with infinity", np.where(np.eye(20) > 0, np.inf, 1.0))
add_array("of huge floats", np.where(np.eye(20) > 0, 1.7e308, -1.7e308))
_halves = np.array([[0, 255]] * 20, np.uint8).repeat(10, 1)
add_array("of big-endian words", _halves.astype(">u2"), _halves)
add_array("seen backwards", FILM[::-1, ::-1], FILM[::-1, ::-1])
add_array("that is read-only", np.frombuffer(FILM.tobytes(), np.uint8).reshape(FILM.shape), FILM)

# --- sweeps of damage ------------------------------------------------------------------------------------

for _name, _data in WHOLE.items():
    for _share in (0.05, 0.25, 0.75, 0.95):
        add(f"{_name} cut at {_share:.0%}", _data[: int(_share * len(_data))])
_half = len(WHOLE["JPEG TIFF"]) // 2
add("JPEG TIFF whose second half is zeros", WHOLE["JPEG TIFF"][:_half] + bytes(_half))
for _name in ("JPEG", "progressive JPEG"):
    for _share in (0.3, 0.9):
        add(f"{_name} whose scan ends at {_share:.0%} by an end marker", cut_scan(WHOLE[_name], _share))

# --- JPEG ------------------------------------------------------------------------------------------------

JPEG = WHOLE["JPEG"]
JPEG_PIXELS = read_by_pillow(JPEG)


def make_jpeg_segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def insert_in_jpeg(*segments: bytes) -> bytes:
    """The film with segments after its first marker."""
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def make_exif(orientation: int, *, count: int = 1) -> bytes:
    """A camera's note with a rotation."""
    entry = struct.pack("<HHIHH", 0x0112, 3, count, orientation, 0)
    return make_jpeg_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4))


def make_many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each goes over the whole image."""
    data = WHOLE["progressive JPEG"]
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * (count - data.count(b"\xff\xda")) + b"\xff\xd9"


def make_shared_exif() -> bytes:
    """A JPEG whose notes, put together as Pillow does, hold entries that all point at the same bytes."""
    entries = struct.pack("<HHII", 33000, 7, 600_000, 200_000) * 10_000
    note = (b"II*\0\x08\0\0\0" + struct.pack("<H", 10_000) + entries).ljust(1_000_000, b"\0")
    parts = [note[at : at + 50_000] for at in range(0, len(note), 50_000)]
    return insert_in_jpeg(*(make_jpeg_segment(0xE1, b"Exif\0\0" + part) for part in parts))


add("JPEG with a wrong Huffman table", JPEG.replace(b"\xff\xc4\x00", b"\xff\xc4\xf0", 1))
add("JPEG of 41 scans", lambda: make_many_scans(41))
for _width, _height in ((65_000, 65_000), (0, 0), (1, 1)):
    _at = JPEG.index(b"\xff\xc0") + 5
    _claim = struct.pack(">HH", _height, _width)
    add(f"JPEG that claims {_width} x {_height}", JPEG[:_at] + _claim + JPEG[_at + 4 :])
add("JPEG of a million parts", lambda: insert_in_jpeg(make_jpeg_segment(0xE5, b"") * 1_000_000), JPEG_PIXELS)
add("JPEG of 20 notes whose 10,000 entries share 600 KB", make_shared_exif, JPEG_PIXELS)
add("JPEG with 10,000 notes", insert_in_jpeg(make_jpeg_segment(0xE5, bytes(10)) * 10_000), JPEG_PIXELS)
for _name, _segments in {
    "a comment of 64 KB": make_jpeg_segment(0xFE, b"\xff\xd9" * 32_000),
    "a thousand notes": make_jpeg_segment(0xE5, bytes(60_000)) * 1000,
    "a note of rubbish": make_jpeg_segment(0xE1, b"Exif\0\0" + bytes(range(200))),
    "a million rotations": make_exif(6, count=1_000_000),
    **{f"orientation {number}": make_exif(number) for number in (0, 1, 9, 65_535)},
}.items():
    add(f"JPEG with {_name}", insert_in_jpeg(_segments), JPEG_PIXELS)
add("JPEG and a zip behind it", JPEG + b"PK\3\4" + bytes(500) + b"PK\5\6" + bytes(18), JPEG_PIXELS)

# --- PNG -------------------------------------------------------------------------------------------------

BLANK = zlib.compress(bytes(65 * 48))
TINY = zlib.compress(bytes(10))
ROWS = b"".join(b"\0" + row.tobytes() for row in FILM)
HEADER = make_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0))


def make_split_png(pieces: int) -> bytes:
    """The film as a PNG whose pixels come in many chunks."""
    data = zlib.compress(ROWS)
    step = -(-len(data) // pieces)
    chunks = [make_chunk(b"IDAT", data[at : at + step]) for at in range(0, len(data), step)]
    return b"\x89PNG\r\n\x1a\n" + HEADER + b"".join(chunks) + make_chunk(b"IEND", b"")


def make_text_bomb(kind: bytes, head: bytes, *, num_bytes: int, count: int = 1) -> bytes:
    """A blank PNG with texts that inflate to so many zeros each."""
    return make_png(64, 48, BLANK, before=make_chunk(kind, head + compress_zeros(num_bytes)) * count)


add("PNG without pixels", b"\x89PNG\r\n\x1a\n" + HEADER)
add("PNG whose pixels end too soon", make_png(64, 48, zlib.compress(bytes(65 * 20))))
_swapped = make_chunk(b"IEND", b"") + make_chunk(b"IDAT", BLANK)
add("PNG with its pixels after its end", b"\x89PNG\r\n\x1a\n" + HEADER + _swapped)
add("PNG of an unknown filter", make_png(64, 48, zlib.compress((b"\x09" + bytes(64)) * 48)))
add("PNG of depth 3", make_png(64, 48, BLANK, depth=3))
add("PNG palette without a palette", make_png(64, 48, BLANK, colour=3, depth=9))
add("PNG of 30,000 x 30,000 zeros", lambda: make_png(30_000, 30_000, compress_zeros(30_001 * 30_000)))
add(
    "PNG whose profile inflates", lambda: make_text_bomb(b"iCCP", b"icc\0\0", num_bytes=100_000_000), (48, 64)
)
add(
    "PNG whose text inflates",
    lambda: make_text_bomb(b"zTXt", b"Comment\0\0", num_bytes=100_000_000),
    (48, 64),
)
add("PNG whose long text inflates",
    lambda: make_text_bomb(b"iTXt", b"Comment\0\1\0\0\0", num_bytes=100_000_000), (48, 64))  # fmt: skip
add("PNG of 10,000 compressed texts",
    lambda: make_text_bomb(b"zTXt", b"Comment\0\0", num_bytes=900_000, count=10_000), (48, 64))  # fmt: skip
add(
    "PNG of a million parts",
    lambda: make_png(64, 48, BLANK, before=make_chunk(b"teSt", b"") * 1_000_000),
    (48, 64),
)
add("PNG in a hundred pieces", lambda: make_split_png(100), FILM)
add("PNG with more pixels than it needs", make_png(64, 48, zlib.compress(ROWS + bytes(65 * 10))), FILM)
for _chunk in (make_chunk(b"teSt", bytes(99)), make_chunk(b"tEXt", b"Comment\0hello")):
    add(f"PNG with a chunk {_chunk[4:8]}", make_png(64, 48, zlib.compress(ROWS), before=_chunk), FILM)

# --- TIFF ------------------------------------------------------------------------------------------------


def make_tiff(entries: list[tuple[int, int, int, bytes]], data: bytes = b"", *, next_ifd: int = 0) -> bytes:
    """A little-endian TIFF: `data` from byte 8 on, then its one directory of (tag, type, count, value)."""
    directory = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        directory += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")[:4]
    at = 8 + len(data)
    return b"II*\0" + struct.pack("<I", at) + data + directory + struct.pack("<I", next_ifd)


def list_entries(numbers: dict[int, int]) -> list[tuple[int, int, int, bytes]]:
    """Entries of one number each, by their tags."""
    return [(tag, 4, 1, struct.pack("<I", number)) for tag, number in numbers.items()]


def make_strip(width=64, height=48, *, start=8, count=None, compression=1, bits=8, photometric=1):
    """The entries of a grey TIFF of one strip."""
    count = width * height * bits // 8 if count is None else count
    numbers = {256: width, 257: height, 258: bits, 259: compression, 262: photometric, 273: start, 277: 1}
    return list_entries(numbers | {278: height, 279: count})


def make_film_tiff(*more, next_ifd: int = 0, **changes) -> bytes:
    """The film as a TIFF, with more entries or with some of them changed."""
    return make_tiff([*more, *make_strip(**changes)], FILM.tobytes(), next_ifd=next_ifd)


def make_tiff_ring() -> bytes:
    """A TIFF whose second directory names the first one as the next."""
    data = make_film_tiff()
    directory = data[8 + FILM.size : -4]
    return data[:-4] + struct.pack("<I", len(data)) + directory + struct.pack("<I", 8 + FILM.size)


def make_shared_tags() -> bytes:
    """A TIFF of 2,000 tags that all point at the same 5 MB."""
    tags = struct.pack("<H", 2_000) + struct.pack("<HHII", 33000, 7, 5_000_000, 8) * 2_000
    return b"II*\0" + struct.pack("<I", 8 + 5_000_000) + bytes(5_000_000) + tags


def make_huge_tile() -> bytes:
    """A TIFF of the film's size in one tile of 60,000 x 60,000."""
    kept = [entry for entry in make_strip(compression=8) if entry[0] not in (273, 278, 279)]
    tile = list_entries({322: 60_000, 323: 60_000, 324: 8, 325: 3_000_000})
    return make_tiff(kept + tile, compress_zeros(700_000_000).ljust(3_100_000, b"\0"))


def make_tiled_tiff() -> bytes:
    """The film in 12 tiles of 16 x 16."""
    corners = [(top, left) for top in range(0, 48, 16) for left in range(0, 64, 16)]
    tiles = b"".join(FILM[top : top + 16, left : left + 16].tobytes() for top, left in corners)
    data = tiles + struct.pack("<12I", *range(8, 8 + 3072, 256)) + struct.pack("<12I", *[256] * 12)
    entries = list_entries({256: 64, 257: 48, 258: 8, 259: 1, 262: 1, 277: 1, 322: 16, 323: 16})
    entries += [(324, 4, 12, struct.pack("<I", 8 + 3072)), (325, 4, 12, struct.pack("<I", 8 + 3072 + 48))]
    return make_tiff(entries, data)


DEFLATED_FILM = zlib.compress(FILM.tobytes())
for _tag in (256, 257, 258, 277):
    _entries = list_entries({_tag: 50_000}) + make_strip(compression=8, count=len(DEFLATED_FILM))
    add(f"TIFF whose tag {_tag} comes twice", make_tiff(_entries, DEFLATED_FILM))
add("TIFF of 2,000 tags that share 5 MB", make_shared_tags)
add("TIFF of one tile of 60,000 x 60,000", make_huge_tile)
add("TIFF of 65,535 tags that are not there", b"II*\0\x08\0\0\0\xff\xff" + bytes(100))
add("TIFF whose tag has a billion values", make_film_tiff((33000, 4, 1_000_000_000, b"\x08")), FILM)
_strips = [(273, 4, 1_000_000_000, b"\x08") if entry[0] == 273 else entry for entry in make_strip()]
add("TIFF with a billion strips", make_tiff(_strips, FILM.tobytes()))
add("TIFF whose directory is followed by itself", make_film_tiff(next_ifd=8 + FILM.size), FILM)
add("TIFF of two directories that form a ring", make_tiff_ring)
add("TIFF whose next directory is outside", make_film_tiff(next_ifd=2**32 - 9), FILM)
add("TIFF whose strip is outside", make_film_tiff(start=2**31))
add("TIFF whose strip is too short", make_tiff(make_strip(), FILM.tobytes()[:1000]))
add("TIFF that inflates to little", make_tiff(make_strip(compression=8, count=len(TINY)), TINY))
add("TIFF of fax code", encode(Image.fromarray(FILM).convert("1"), "TIFF", compression="group4"))
add("TIFF of an unknown compression", make_film_tiff(compression=4242))
add("TIFF of 64-bit samples", make_tiff(make_strip(bits=64), bytes(64 * 48 * 8)), (48, 64))
for _value in (np.nan, np.inf):
    add(f"TIFF with {_value}", encode(np.where(np.eye(48) > 0, _value, 1).astype(np.float32), "TIFF"))
add("TIFF whose directory lies beyond its end", b"II*\0\xff\xff\xff\x7f" + bytes(100))
add("big TIFF whose directory lies beyond its end", b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(100))
add("TIFF by hand", make_film_tiff(), FILM)
add("TIFF whose zero is white", make_film_tiff(photometric=0), 255 - FILM)
add("TIFF that names another file", make_film_tiff((269, 2, 4, b"/etc")), FILM)
add("TIFF of tiles", make_tiled_tiff, FILM)

# --- BMP and WebP, claims, and what is as large as it may be ---------------------------------------------


def make_bmp(width: int, height: int, data: bytes, *, compression: int = 0) -> bytes:
    """A BMP of 8 bits with a grey palette."""
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + palette + data


def make_webp(kind: bytes, body: bytes) -> bytes:
    """A WebP of one chunk."""
    content = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(content)) + content


def make_flat(mode: str) -> Image.Image:
    """An image of one colour, as large as it may be."""
    height, width = PIXELS_AT_LIMIT
    return Image.new(mode, (width, height), 100 if len(mode) == 1 else (100,) * len(mode))


add("BMP whose pixels start beyond its end", WHOLE["BMP"][:10] + b"\xff\xff\xff\x7f" + WHOLE["BMP"][14:])
add("BMP whose header has an unknown size", WHOLE["BMP"][:14] + b"\x99\0\0\0" + WHOLE["BMP"][18:])
add("run-length BMP that ends at once", make_bmp(64, 48, b"\0\1", compression=1))
add("run-length BMP of endless jumps", make_bmp(64, 48, b"\0\2\xff\xff" * 1000, compression=1))
_runs = [b"".join(bytes((1, level)) for level in row) + b"\0\0" for row in FILM[::-1]]
add("run-length BMP", make_bmp(64, 48, b"".join(_runs) + b"\0\1", compression=1))
add("BMP from top to bottom", make_bmp(64, -48, FILM.tobytes()), FILM)
_os2 = struct.pack("<IHHI", 26 + 768 + FILM.size, 0, 0, 26 + 768) + struct.pack("<IHHHH", 12, 64, 48, 1, 8)
_palette = b"".join(bytes((level,) * 3) for level in range(256))
add("BMP of OS/2", b"BM" + _os2 + _palette + FILM[::-1].tobytes(), FILM)
_canvas = bytes(4) + b"\xff\x3f\0" * 2
add("WebP that claims 16,384 x 16,384", make_webp(b"VP8X", _canvas))
add("WebP cut within VP8X", make_webp(b"VP8X", _canvas)[:24])
add("lossless WebP that claims 16,384 x 16,384", make_webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(20)))
_frame = b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(20)
add("lossy WebP that claims 16,383 x 16,383", make_webp(b"VP8 ", _frame))
_sizes = ((50_000, 50_000), (100_000, 1), (1, 100_000), (1, 1), (0, 0), (15, 64), (2**31 - 1, 2**31 - 1))
for _width, _height in _sizes:
    _claim = f"claims {_width} x {_height}"
    add(f"PNG that {_claim}", make_png(_width, _height, TINY))
    add(f"TIFF that {_claim}", make_tiff(make_strip(_width, _height, count=10), bytes(10)))
    add(f"BMP that {_claim}", make_bmp(_width, _height, bytes(10)))
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
        lambda m=_mode, f=_format, o=_options: encode(make_flat(m), f, **o), PIXELS_AT_LIMIT)  # fmt: skip
add("CMYK JPEG of 30 million pixels in 18 scans",
    lambda: encode(make_flat("CMYK"), "JPEG", progressive=True), PIXELS_AT_LIMIT)  # fmt: skip
