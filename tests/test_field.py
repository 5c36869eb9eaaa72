"""Films as people meet them, odd in ways that other readers of X-rays get wrong, each with its right pixels.

Every file is made here from one film; what must come of it is that film, or arithmetic beside it.
"""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from conftest import make_chest_film
from dicom_files import BIG, EXPLICIT, IMPLICIT, JPEG, make_dataset, make_dicom, make_element, write
from odd_files import encode, make_chunk, make_png
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from pneumo_utils.app.predictor import Predictor
from pneumo_utils.data.images import load_film, load_image
from pneumo_utils.errors import ImageError
from pneumo_utils.guard.guard import check_film
from pneumo_utils.models.shipped import load_shipped

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")  # pydicom, of what is made here

FILM = make_chest_film(1).astype(float)
# All levels from 0 to 255, so that a stretch of more bits gives it back.
BASE = ((FILM - FILM.min()) / np.ptp(FILM) * 255).round().astype(np.uint8)
WORDS = BASE.astype(np.uint16) * 16  # 12 bits, up to 4080
SYNTAX_OF_META = make_element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0")


def read(data: bytes) -> np.ndarray:
    return load_image(data).astype(int)


def assert_base(data: bytes, tolerance: int = 0) -> None:
    assert np.abs(read(data) - BASE).max() <= tolerance


def list_notes(**tags) -> tuple[str, ...]:
    return load_film(make_dicom(BASE, **tags), image_size=32).notes


# --- lookup tables ---------------------------------------------------------------------------------------


def make_lut(entries: np.ndarray, *, claimed: int, first: int = 0) -> Sequence:
    """A table whose entries take a byte or a word each, by their type; big-endian in `>u2`."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 2**16, first, claimed])
    item.add_new("LUTData", "OW", entries.tobytes() + bytes(entries.nbytes % 2))
    return Sequence([item])


@pytest.mark.parametrize("claimed", [16, 12, 8])
def test_a_table_that_claims_other_bits_than_its_entries_use(claimed):
    """As Agfa writes them: 16 bits are claimed and 12 used."""
    lut = make_lut(np.arange(4096, dtype="<u2"), claimed=claimed)
    assert_base(make_dicom(WORDS, bits=12, VOILUTSequence=lut), 1)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("kind", ["u1", "<u2"])
def test_tables_of_8_bits_in_bytes_and_in_words(kind, name, syntax):
    """PS3.3 C.11.1.1: entries of 8 bits may take a byte each."""
    lut = make_lut(np.arange(256).astype(kind), claimed=8)
    assert_base(make_dicom(BASE.astype(np.uint16), syntax, bits=12, **{name: lut}))


def test_tables_of_a_big_endian_file():
    lut = make_lut(np.arange(4096, dtype=">u2"), claimed=12)
    assert_base(make_dicom(WORDS, BIG, bits=12, VOILUTSequence=lut), 1)


def test_a_table_of_nothing_but_zeros_is_passed_over():
    assert_base(make_dicom(WORDS, bits=12, VOILUTSequence=make_lut(np.zeros(4096, "<u2"), claimed=12)))


# --- colours of a JPEG in a DICOM file -------------------------------------------------------------------

COLOURS = np.zeros((64, 192, 3), np.uint8)
for _channel in range(3):
    COLOURS[:, 64 * _channel : 64 * (_channel + 1), _channel] = 200
LUMA = [60, 117, 23]  # ITU-R 601: 0.299, 0.587 and 0.114 of 200


def encode_colours(*, is_rgb: bool, subsampling: int = 0, marker: bool = True, names: bytes = b"") -> bytes:
    """A JPEG of the three colours, perhaps without its marker and with other names of its components."""
    options = {"keep_rgb": True} if is_rgb else {"subsampling": subsampling}
    data = bytearray(encode(COLOURS, "JPEG", quality=95, **options))
    if names:
        frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
        for index, name in enumerate(names):
            data[frame + 10 + 3 * index] = data[scan + 5 + 2 * index] = name
    length = 2 + int.from_bytes(data[4:6], "big")
    assert data[3] == (0xEE if is_rgb else 0xE0)  # Adobe's marker, or that of JFIF
    return bytes(data if marker else data[:2] + data[2 + length :])


JPEGS = {
    "JFIF": {"is_rgb": False},
    "JFIF, half the colours": {"is_rgb": False, "subsampling": 2},
    "Adobe without a transform": {"is_rgb": True},
    "names R, G, B": {"is_rgb": True, "marker": False},
    "names 1, 2, 3": {"is_rgb": False, "marker": False},
    "other names, half the colours": {"is_rgb": False, "subsampling": 2, "marker": False, "names": b"\0\1\2"},
}


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL_422", "YBR_FULL"])
@pytest.mark.parametrize("jpeg", JPEGS)
def test_what_a_jpeg_says_of_its_colours_counts_before_the_label(jpeg, label):
    dataset = make_dataset(COLOURS, PhotometricInterpretation=label)
    levels = read(write(dataset, JPEG, frame=encode_colours(**JPEGS[jpeg])))
    middles = levels[32, [32, 96, 160]]
    assert np.abs(middles - LUMA).max() <= 2


@pytest.mark.parametrize("is_rgb", [True, False])
def test_of_a_jpeg_that_says_nothing_the_label_counts(is_rgb):
    frame = encode_colours(is_rgb=is_rgb, marker=False, names=b"\0\1\2")
    dataset = make_dataset(COLOURS, PhotometricInterpretation="RGB" if is_rgb else "YBR_FULL")
    assert np.abs(read(write(dataset, JPEG, frame=frame))[32, [32, 96, 160]] - LUMA).max() <= 2


# --- dead pixels, edges, contrast ------------------------------------------------------------------------


def spoil(kind: str) -> np.ndarray:
    """The film in words from 9,000 on, with what is no film in it."""
    words, rng = BASE.astype(np.uint16) * 40 + 9000, np.random.default_rng(0)
    match kind:
        case "dead pixel":
            words[50, 60] = 0
        case "hot pixel":
            words[50, 60] = 65_535
        case "both":
            words[50, 60], words[70, 80] = 0, 65_535
        case "twenty hot pixels":
            words.flat[rng.choice(words.size, 20, replace=False)] = rng.integers(40_000, 65_535, 20)
        case "dead line":
            words[100] = 0
        case "unexposed edge":
            words[:, :12] = 0  # 5 % of the width
        case "overexposed edge":
            words[-10:] = 65_535
    return words


SPOILT = ("dead pixel", "hot pixel", "both", "twenty hot pixels", "dead line", "unexposed edge")


@pytest.mark.parametrize("kind", [*SPOILT, "overexposed edge"])
@pytest.mark.parametrize("file", ["PNG", "TIFF", "float TIFF", "DICOM", "array"])
def test_what_is_no_film_does_not_squeeze_the_film(kind, file):
    words = spoil(kind)
    source = {
        "PNG": lambda: encode(words, "PNG"),
        "TIFF": lambda: encode(words, "TIFF"),
        "float TIFF": lambda: encode(words.astype(np.float32), "TIFF"),
        "DICOM": lambda: make_dicom(words),
        "array": lambda: words,
    }[file]()
    is_film = words == spoil("")
    assert is_film.mean() > 0.9
    assert np.abs(load_image(source).astype(int) - BASE)[is_film].max() <= 1


def test_a_film_in_a_few_tones_more_than_half_of_which_are_one_keeps_its_ends():
    words = np.full((100, 100), 1000, np.uint16)
    words[:3], words[3:5] = 500, 2000
    assert sorted(np.unique(load_image(words))) == [0, 85, 255]  # (1000 - 500) / 1500 * 255


def test_a_film_of_few_levels_is_warned_of_in_8_bits_and_stretched_in_more():
    pale = (BASE // 10 + 100).astype(np.uint8)
    assert "little contrast" in " ".join(check_film(load_image(encode(pale, "PNG")), is_phantom=True))
    wide = load_image(encode(pale.astype(np.uint16), "PNG"))
    assert np.abs(wide.astype(int) - BASE).max() <= 10 and check_film(wide, is_phantom=True) == []


# --- TIFF ------------------------------------------------------------------------------------------------


def write_tiff(pixels: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **{"photometric": "minisblack"} | options)
    return stream.getvalue()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("zero", ["miniswhite", "minisblack"])
@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_tiffs_of_every_type_whichever_end_is_white(kind, zero, order):
    pixels = (BASE if zero == "minisblack" else 255 - BASE).astype(kind)
    scaled = pixels if kind == "u1" else pixels * 100 - (10_000 if kind[0] in "if" else 0)
    assert_base(write_tiff(scaled.astype(kind), byteorder=order, photometric=zero))


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_tiff_with_a_thumbnail_is_one_film(is_marked, is_first):
    stream, small = io.BytesIO(), BASE[::4, ::4].copy()
    with tifffile.TiffWriter(stream) as file:
        pages = [(small, {"subfiletype": 1 if is_marked else 0}), (BASE, {})]
        for page, options in pages if is_first else pages[::-1]:
            file.write(page, photometric="minisblack", **options)
    assert_base(stream.getvalue())


def test_a_tiff_of_two_films_is_refused():
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(BASE, photometric="minisblack")
        file.write(BASE[:150], photometric="minisblack")
    with pytest.raises(ImageError, match="several frames or pages"):
        load_image(stream.getvalue())


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_tiff_in_colour(planar, kind):
    colours = np.repeat(BASE[..., None], 3, 2).astype(kind)
    pixels = np.moveaxis(colours, -1, 0) if planar == "separate" else colours
    assert_base(write_tiff(pixels, photometric="rgb", planarconfig=planar))


def test_a_grey_palette_and_inks():
    grey = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    assert_base(write_tiff(BASE, photometric="palette", colormap=grey))
    inks = np.zeros((*BASE.shape, 4), np.uint8)
    inks[..., 3] = 255 - BASE  # black alone
    assert_base(write_tiff(inks, photometric="separated"))


# --- PNG -------------------------------------------------------------------------------------------------

ROWS = zlib.compress(b"".join(b"\0" + row.tobytes() for row in BASE))
HEIGHT, WIDTH = BASE.shape
LONG = b"Comment\0" + np.random.default_rng(0).integers(32, 126, 2_000_000, dtype=np.uint8).tobytes()
NOTES = {
    "a note of 2 MB": make_chunk(b"tEXt", LONG),
    "a packed note of 2 MB": make_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LONG)),
    "a profile of 2 MB": make_chunk(b"iCCP", b"icc\0\0" + zlib.compress(LONG)),
    "a wrong checksum in a note": make_chunk(b"tEXt", b"Comment\0hello")[:-1] + b"\0",
    "a wrong checksum in a profile": make_chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"abc"))[:-1] + b"\0",
    "a gamma that makes no sense": make_chunk(b"gAMA", bytes(4)),
}


@pytest.mark.parametrize("note", NOTES)
def test_what_stands_beside_the_pixels_of_a_png_plays_no_part(note):
    assert_base(make_png(WIDTH, HEIGHT, ROWS, before=NOTES[note]))


@pytest.mark.parametrize("highest", [4080, 65_280])
def test_a_grey_picture_in_16_bits_of_colour(highest):
    words = (BASE.astype(np.uint32) * highest // 255).astype(">u2")
    rows = b"".join(b"\0" + np.repeat(row, 3).tobytes() for row in words)
    assert_base(make_png(WIDTH, HEIGHT, zlib.compress(rows), depth=16, colour=2), 1)


# --- what a DICOM file leaves out or writes in its own way -----------------------------------------------


def drop_meta(syntax: str, *, keep_preamble: bool = False) -> bytes:
    """A film without its file meta information."""
    data = make_dicom(WORDS, syntax, bits=12)
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    return (data[:132] if keep_preamble else b"") + data[start:]


@pytest.mark.parametrize("keep_preamble", [False, True])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_a_film_without_preamble_meta_or_syntax(syntax, keep_preamble, tmp_path):
    data = drop_meta(syntax, keep_preamble=keep_preamble)
    assert_base(data)
    (tmp_path / "film").write_bytes(data)
    np.testing.assert_array_equal(load_image(tmp_path / "film"), BASE)


def test_a_film_without_preamble_and_one_without_a_syntax():
    data = make_dicom(WORDS, bits=12)
    assert_base(data[132:])
    assert SYNTAX_OF_META in data
    shorter = struct.unpack_from("<I", data, 140)[0] - len(SYNTAX_OF_META)
    without = data[:140] + struct.pack("<I", shorter) + data[144:].replace(SYNTAX_OF_META, b"", 1)
    assert_base(without)


def insert_texts(**texts: str) -> bytes:
    """The film of 12 bits with texts that pydicom itself would not write, by keyword."""
    data = make_dicom(WORDS, bits=12)
    at = data.index(b"\xe0\x7f\x10\x00")
    tags = {"center": 0x00281050, "width": 0x00281051, "intercept": 0x00281052, "slope": 0x00281053}
    elements = [make_element(tags[k], b"DS", t.encode() + b" " * (len(t) % 2)) for k, t in texts.items()]
    return data[:at] + b"".join(elements) + data[at:]


NUMBERS = {
    "decimal commas": {"center": "2040,5", "width": "4081,0"},
    "an empty first value": {"center": "\\2040.5", "width": "\\4081"},
    "a text first": {"center": "AUTO\\2040.5", "width": "AUTO\\4081"},
    "spaces": {"center": " 2040.5 ", "width": " 4081 "},
    "a text for the window": {"center": "AUTO", "width": "AUTO"},
    "a width alone": {"width": "4081"},
    "nothing": {"center": "", "width": ""},
    "a window beside the film": {"center": "0", "width": "1"},
    "a window far above the film": {"center": "60000", "width": "100"},
    "a slope with a comma": {"intercept": "0,0", "slope": "2,5"},
    "a slope of text": {"intercept": "NONE", "slope": "HU"},
    "an empty first slope": {"intercept": "", "slope": "\\1"},
    "a slope of zero": {"intercept": "0", "slope": "0"},
}


@pytest.mark.parametrize("numbers", NUMBERS)
def test_numbers_as_people_and_machines_write_them(numbers):
    # The window of 4,081 around 2040.5 shows 0.5 less than 0 to 4080, so 0.5 / 4080 less of it.
    assert_base(insert_texts(**NUMBERS[numbers]), 0)


@pytest.mark.parametrize("modality", ["DR", "XR", "cr", "dx", " CR "])
def test_other_names_of_a_radiograph(modality):
    assert_base(make_dicom(BASE, Modality=modality))


def test_photometric_interpretation_in_small_letters():
    assert_base(make_dicom(255 - BASE, PhotometricInterpretation="monochrome1"))
    assert_base(make_dicom(BASE, PhotometricInterpretation="Monochrome2"))
    assert_base(make_dicom(255 - BASE, PresentationLUTShape="inverse"))


@pytest.mark.parametrize(("value", "limit"), [(65_535, None), (4096, None), (65_000, 65_535)])
def test_padding_that_no_stored_word_can_have_pads_nothing(value, limit):
    band = WORDS.copy()
    band[:, 100:120] = 4095  # as a mask to 12 bits would make of 65,535
    tags = {"PixelPaddingValue": value} | ({"PixelPaddingRangeLimit": limit} if limit else {})
    np.testing.assert_array_equal(read(make_dicom(band, bits=12, **tags)), read(make_dicom(band, bits=12)))
    assert (read(make_dicom(band, bits=12, **tags))[:, 100:120] == 255).all()


def test_padding_written_without_its_sign():
    words = BASE.astype(np.int16) * 8 - 1000
    words[:, :10] = -2000
    dataset = make_dataset(words)
    dataset.add_new("PixelPaddingValue", "US", 2**16 - 2000)
    levels = read(write(dataset))
    assert (levels[:, :10] == 0).all() and np.abs(levels - BASE)[:, 10:].max() <= 1


def test_8_bits_as_words_of_a_big_endian_file():
    """PS3.5 8.1.1: two pixels make a word, whose bytes change places."""
    dataset = make_dataset(BASE, PixelData=BASE.reshape(-1, 2)[:, ::-1].tobytes())
    dataset["PixelData"].VR = "OW"
    assert_base(write(dataset, BIG))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_grey_palette(bits):
    dataset = make_dataset(BASE, PhotometricInterpretation="PALETTE COLOR")
    entries = np.arange(256) * (1 if bits == 8 else 257)
    for name in ("Red", "Green", "Blue"):
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, bits])
        data = entries.astype("u1" if bits == 8 else "<u2").tobytes()
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", data)
    assert_base(write(dataset))


def test_16_bits_of_colour():
    dataset = make_dataset(np.repeat(WORDS[..., None], 3, 2), bits=12)
    dataset["PixelData"].VR = "OW"
    assert_base(write(dataset))


@pytest.mark.parametrize(
    "name", ["BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation", "SamplesPerPixel"]
)
def test_what_describes_the_pixels_may_lack(name):
    dataset = make_dataset(BASE)
    delattr(dataset, name)
    assert_base(write(dataset))


def test_two_pixels_that_share_their_colours():
    pairs = np.full((HEIGHT, WIDTH // 2, 4), 90, np.uint8)
    pairs[..., :2] = BASE.reshape(HEIGHT, -1, 2)
    dataset = make_dataset(np.repeat(BASE[..., None], 3, 2), PhotometricInterpretation="YBR_FULL_422")
    dataset.PixelData = pairs.tobytes()
    assert_base(write(dataset))


def test_a_label_that_says_uncompressed_and_an_image_that_is_not():
    frame = encode(BASE, "JPEG")
    wrong = make_dataset(BASE)
    wrong.PixelData, wrong["PixelData"].VR = frame + bytes(len(frame) % 2), "OB"
    with pytest.raises(ImageError, match="cut short"):
        load_image(write(wrong))
    dataset = make_dataset(BASE)  # a JPEG under the name of another compression is read all the same
    np.testing.assert_array_equal(
        read(write(dataset, "1.2.840.10008.1.2.4.70", frame=frame)), np.asarray(Image.open(io.BytesIO(frame)))
    )


# --- what a file says of itself --------------------------------------------------------------------------

SAID = {
    "side or oblique view": [{"ViewPosition": "LL"}, {"ViewPosition": "RL"}, {"ViewPosition": "lateral"},
                             {"PatientOrientation": ["A", "F"]}, {"ViewPosition": "RAO"}],
    "another part of the body": [{"BodyPartExamined": "HAND"}, {"BodyPartExamined": "ABDOMEN"}],
    "a name may be in it": [{"BurnedInAnnotation": "YES"}],
    "raw": [{"PresentationIntentType": "FOR PROCESSING"}],
}  # fmt: skip


@pytest.mark.parametrize(("text", "tags"), [(text, tags) for text, each in SAID.items() for tags in each])
def test_what_a_file_says_of_itself_is_told(text, tags):
    (note,) = list_notes(**tags)
    assert text in note and note.endswith(".") and "HAND" not in note


@pytest.mark.parametrize(
    "tags",
    [{"ViewPosition": "PA"}, {"ViewPosition": "AP"}, {"ViewPosition": ""}, {"PatientOrientation": ["L", "F"]},
     {"BodyPartExamined": "CHEST"}, {"BodyPartExamined": "Thorax"}, {"BodyPartExamined": "LUNG"},
     {"BurnedInAnnotation": "NO"}, {"PresentationIntentType": "FOR PRESENTATION"}],
)  # fmt: skip
def test_of_an_ordinary_film_nothing_is_told(tags):
    assert list_notes(**tags) == ()


def test_notes_reach_the_answer_and_the_survey(tmp_path):
    from pneumo_utils.guard.guard import survey_films

    (tmp_path / "film.dcm").write_bytes(make_dicom(BASE, ViewPosition="LL", BurnedInAnnotation="YES"))
    answer = Predictor(load_shipped("cnn_baseline")).predict(tmp_path / "film.dcm")
    assert [("side" in w, "name" in w) for w in answer.warnings[:2]] == [(True, False), (False, True)]
    assert "side or oblique" in survey_films([tmp_path / "film.dcm"], folder=tmp_path)["film.dcm"]


def test_a_uid_of_another_kind_is_refused_by_its_name():
    dataset = make_dataset(BASE)
    data = write(dataset, EXPLICIT).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")
    assert UID("1.2.840.10008.1.2.9") not in (EXPLICIT, IMPLICIT)
    with pytest.raises(ImageError, match="transfer syntax that is not read"):
        load_image(data)
