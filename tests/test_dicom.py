"""DICOM films. Expected levels come from the standard's formulas, by hand; files are made by pydicom."""

import io
import logging
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG2000,
    JPEG_EXTENDED,
    JPEG_LS,
    JPEG_LS_LOSSY,
    LOSSLESS,
    NAME,
    PATIENT_ID,
    insert_elements,
    make_dataset,
    make_dicom,
    make_element,
    write,
)
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from pneumo_utils.data import dicom, images
from pneumo_utils.data.images import load_film, load_image
from pneumo_utils.errors import ImageError

NOISE = np.random.default_rng(0).integers(0, 256, (40, 52), dtype=np.uint8)
# Levels that smooth codecs keep, 0 to 4080.
RAMP = np.add.outer(np.arange(40), np.arange(52)).astype(np.uint16) * 45


def make_steps(*values, dtype=np.uint16):
    """(20, 20 * n): a stripe of 20 columns for each value."""
    return np.repeat(np.array([values], dtype), 20, axis=0).repeat(20, axis=1)


def read_steps(data):
    """The level of each stripe of 20 columns."""
    read = load_image(data)
    assert read.dtype == np.uint8 and (read == read[:1]).all()
    return read[0, ::20].tolist()


def reason(source):
    with pytest.raises(ImageError) as caught:
        load_image(source)
    message = str(caught.value)
    assert message.endswith(".") and message.isprintable()
    return message


# --- transfer syntaxes and depths -----------------------------------------------------------------------


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(
    ("dtype", "bits"), [("u1", 8), ("u2", 10), ("u2", 12), ("u2", 14), ("u2", 16), ("i2", 12), ("i2", 16)]
)
def test_lossless_syntaxes_give_the_pixels_back(syntax, dtype, bits):
    low = -(2 ** (bits - 1)) if dtype == "i2" else 0
    high = low + 2**bits - 1
    pixels = np.random.default_rng(bits).integers(low, high, (40, 52)).astype(dtype)
    pixels[3, 4], pixels[5, 6] = low, high
    expected = ((pixels.astype(float) - low) / (high - low) * 255).round()
    np.testing.assert_array_equal(load_image(make_dicom(pixels, syntax, bits=bits)), expected)


@pytest.mark.parametrize("syntax", [JPEG, JPEG_EXTENDED, JPEG_LS_LOSSY, JPEG2000])
def test_lossy_syntaxes_come_close(syntax):
    pixels = (RAMP >> 4).astype(np.uint8)
    read = load_image(make_dicom(pixels, syntax))
    assert np.abs(read.astype(int) - pixels).max() <= 4


def test_12_bit_jpeg():
    read = load_image(make_dicom(RAMP, JPEG_EXTENDED, bits=12, WindowCenter=2048, WindowWidth=4096))
    assert np.abs(read - RAMP / 4095 * 255).max() <= 2


def test_a_lossy_codec_may_go_beyond_the_stored_bits():
    pixels = np.where(NOISE < 128, 0, 4095).astype(np.uint16)  # near-lossless coding may give 4097
    read = load_image(make_dicom(pixels, JPEG_LS_LOSSY, bits=12))
    assert np.abs(read.astype(int) - np.where(NOISE < 128, 0, 255)).max() <= 1


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG, DEFLATED])
def test_path_and_bytes_agree(syntax, tmp_path):
    data = make_dicom(NOISE, syntax)
    (tmp_path / "film").write_bytes(data)
    for source in (data, bytearray(data), memoryview(data), tmp_path / "film", str(tmp_path / "film")):
        np.testing.assert_array_equal(load_image(source), NOISE)
    assert load_film(tmp_path / "film", image_size=16).size == NOISE.shape


def test_a_frame_in_several_fragments_with_a_table_of_offsets():
    frame = io.BytesIO()
    Image.fromarray(NOISE).save(frame, "JPEG", quality=95)
    whole = load_image(make_dicom(NOISE, JPEG))
    dataset = make_dataset(NOISE)
    dataset.PixelData = encapsulate([frame.getvalue()], fragments_per_frame=4, has_bot=True)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    np.testing.assert_array_equal(load_image(write(dataset, JPEG)), whole)


@pytest.mark.parametrize(
    "name",
    ["JPEG2000.dcm", "JPGExtended.dcm", "JPEG-lossy.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm",
     "MR_small_jp2klossless.dcm", "image_dfl.dcm", "MR_small_bigendian.dcm", "693_J2KI.dcm"],
)  # fmt: skip
def test_files_of_other_programs(name):
    dataset = pydicom.dcmread(Path(pydicom.__file__).parent / "data/test_files" / name)
    dataset.Modality = "DX"
    stream = io.BytesIO()
    dataset.save_as(stream)
    read = load_image(stream.getvalue())
    assert read.shape == (dataset.Rows, dataset.Columns) and read.std() > 10


def test_twins_of_other_programs_agree():
    """The same picture raw, run-length coded, in JPEG-LS and in JPEG 2000, compressed elsewhere."""
    folder = Path(pydicom.__file__).parent / "data/test_files"
    read = []
    for name in ("", "_RLE", "_jpeg_ls_lossless", "_jp2klossless", "_bigendian", "_implicit"):
        dataset = pydicom.dcmread(folder / f"MR_small{name}.dcm")
        dataset.Modality = "DX"
        stream = io.BytesIO()
        dataset.save_as(stream)
        read.append(load_image(stream.getvalue()))
    for other in read[1:]:
        np.testing.assert_array_equal(other, read[0])


# --- how it wants to be seen ----------------------------------------------------------------------------


def test_8_bits_without_a_window_are_kept():
    assert read_steps(make_dicom(make_steps(10, 100, 200, dtype=np.uint8))) == [10, 100, 200]


def test_more_bits_without_a_window_are_stretched():
    assert read_steps(make_dicom(make_steps(1000, 2020, 6100))) == [0, 51, 255]  # 1020 / 5100 * 255 = 51


def test_monochrome1_is_turned_round():
    data = make_dicom(make_steps(0, 51, 255, dtype=np.uint8), PhotometricInterpretation="MONOCHROME1")
    assert read_steps(data) == [255, 204, 0]


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_an_inverse_presentation_is_turned_round_once(kind):
    steps = make_steps(0, 51, 255, dtype=np.uint8)
    data = make_dicom(steps, PhotometricInterpretation=kind, PresentationLUTShape="INVERSE")
    assert read_steps(data) == [255, 204, 0]


def test_linear_window():
    # PS3.3 C.11.2.1.2: c = 2048, w = 512: (x - 2047.5) / 511 + 0.5; x = 1792 gives 0, x = 2303 gives 1.
    data = make_dicom(make_steps(0, 1792, 1946, 2303, 4095), bits=12, WindowCenter=2048, WindowWidth=512)
    # (1946 - 2047.5) / 511 + 0.5 = 0.30137, times 255 is 76.8.
    assert read_steps(data) == [0, 0, 77, 255, 255]


def test_exact_linear_window():
    data = make_dicom(make_steps(0, 1792, 1895, 2304, 4095), bits=12,
                      WindowCenter=2048, WindowWidth=512, VOILUTFunction="LINEAR_EXACT")  # fmt: skip
    # (1895 - 2048) / 512 + 0.5 = 0.20117, times 255 is 51.3.
    assert read_steps(data) == [0, 0, 51, 255, 255]


def test_sigmoid_window():
    data = make_dicom(make_steps(0, 1920, 2048, 2176, 4095), bits=12,
                      WindowCenter=2048, WindowWidth=512, VOILUTFunction="SIGMOID")  # fmt: skip
    # 255 / (1 + exp(-4 * (x - c) / w)): at x = c - w / 4 it is 255 / (1 + e) = 68.6, at c 127.5, above 186.4.
    assert read_steps(data)[1:4] == [69, 128, 186]
    assert read_steps(data)[0] == 0 and read_steps(data)[4] == 255


def test_a_window_of_one_is_a_step():
    data = make_dicom(make_steps(99, 100, 101), bits=12, WindowCenter=100, WindowWidth=1)
    assert read_steps(data) == [0, 255, 255]


def test_the_first_of_several_windows_counts():
    data = make_dicom(make_steps(0, 100, 255), bits=12, WindowCenter=[128, 9], WindowWidth=[256, 3])
    assert read_steps(data) == [0, 100, 255]


def test_the_window_is_on_rescaled_values():
    data = make_dicom(make_steps(0, 100, 255), bits=12, RescaleSlope=2, RescaleIntercept=-1000,
                      WindowCenter=-1000 + 256, WindowWidth=512)  # fmt: skip
    # 2 * x - 1000 in a window from -1000 to -489: 2 * x / 511 * 255.
    assert read_steps(data) == [0, 100, 255]


def test_a_negative_slope_turns_it_round():
    assert read_steps(make_dicom(make_steps(0, 51, 255), bits=12, RescaleSlope=-1, RescaleIntercept=0)) == [
        255,
        204,
        0,
    ]


def make_lut(values, first, bits):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    return Sequence([item])


def test_voi_lut():
    lut = make_lut([0, 51, 102, 255], first=10, bits=8)
    data = make_dicom(make_steps(0, 10, 11, 12, 13, 500), bits=12, VOILUTSequence=lut)
    assert read_steps(data) == [0, 0, 51, 102, 255, 255]


def test_the_window_comes_before_the_lut():
    lut = make_lut([255, 0], first=0, bits=8)
    data = make_dicom(make_steps(0, 255), bits=12, VOILUTSequence=lut, WindowCenter=128, WindowWidth=256)
    assert read_steps(data) == [0, 255]


def test_modality_lut_comes_first():
    lut = make_lut([1000, 1051, 1255], first=0, bits=16)
    data = make_dicom(make_steps(0, 1, 2), bits=12, ModalityLUTSequence=lut)
    assert read_steps(data) == [0, 51, 255]


def test_padding_is_black_and_does_not_stretch_the_range():
    data = make_dicom(make_steps(0, 1000, 1204, 2020), bits=12, PixelPaddingValue=0)
    assert read_steps(data) == [0, 0, 51, 255]  # 204 / 1020 * 255 = 51
    data = make_dicom(make_steps(4095, 1000, 1204, 2020), bits=12, PixelPaddingValue=4095)
    assert read_steps(data) == [0, 0, 51, 255]


def test_padding_of_a_turned_film_is_black_too():
    data = make_dicom(make_steps(4095, 1000, 1204, 2020), bits=12, PixelPaddingValue=4095,
                      PhotometricInterpretation="MONOCHROME1")  # fmt: skip
    assert read_steps(data) == [0, 255, 204, 0]


def test_a_range_of_padding_and_a_signed_one():
    data = make_dicom(make_steps(0, 5, 1000, 2020), bits=12, PixelPaddingValue=0, PixelPaddingRangeLimit=5)
    assert read_steps(data) == [0, 0, 0, 255]
    signed = make_steps(-2000, -100, 0, 410, dtype=np.int16)
    dataset = make_dataset(signed)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    assert read_steps(write(dataset)) == [0, 0, 50, 255]  # 100 / 510 * 255 = 50


def test_nothing_but_padding_is_black():
    assert read_steps(make_dicom(make_steps(7, 7), bits=12, PixelPaddingValue=7)) == [0, 0]


def test_what_lies_above_the_stored_bits_plays_no_part():
    overlay = make_steps(0x1000, 0x8100, 0xF1FE)
    assert read_steps(make_dicom(overlay, bits=12, WindowCenter=256, WindowWidth=511)) == [0, 128, 255]


def test_stored_bits_may_lie_high():
    data = make_dicom(make_steps(0, 51 << 4, 255 << 4), bits=12, HighBit=15)
    assert read_steps(data) == [0, 51, 255]


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_colour_becomes_luma(planar, syntax):
    pixels = np.zeros((20, 60, 3), np.uint8)
    for channel in range(3):
        pixels[:, 20 * channel : 20 * (channel + 1), channel] = 200
    stored = pixels.transpose(2, 0, 1) if planar else pixels
    dataset = make_dataset(pixels, PlanarConfiguration=planar, PixelData=stored.tobytes(), Modality="OT")
    # ITU-R 601: 0.299, 0.587 and 0.114 of 200 are 59.8, 117.4 and 22.8.
    assert read_steps(write(dataset, syntax)) == [60, 117, 23]


def test_of_luma_and_two_colours_the_luma_stays():
    pixels = np.full((20, 40, 3), 90, np.uint8)
    pixels[:, :20, 0], pixels[:, 20:, 0] = 30, 200
    assert read_steps(make_dicom(pixels, PhotometricInterpretation="YBR_FULL")) == [30, 200]


def test_colour_jpeg_close_to_its_luma():
    pixels = np.dstack([(RAMP >> 4).astype(np.uint8)] * 3)
    read = load_image(make_dicom(pixels, JPEG, PhotometricInterpretation="YBR_FULL_422"))
    assert np.abs(read.astype(int) - pixels[..., 0]).max() <= 4


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["CT", "MR", "US", "PT", "MG", "SEG", "SR"])
def test_other_modalities_are_named_by_their_code(code):
    assert f"of modality {code}, no radiograph" in reason(make_dicom(NOISE, Modality=code))


def test_a_modality_that_is_no_code_is_not_repeated():
    message = reason(make_dicom(NOISE, Modality="GEHEIM"))
    assert "another kind" in message and "GEHEIM" not in message


@pytest.mark.parametrize("code", ["CR", "DX", "RG", "OT", ""])
def test_radiographs_are_read(code):
    np.testing.assert_array_equal(load_image(make_dicom(NOISE, Modality=code)), NOISE)


def test_several_frames_are_refused():
    assert "several frames" in reason(make_dicom(NOISE, NumberOfFrames=3))


def test_size_is_checked_before_pixels_are(monkeypatch):
    monkeypatch.setattr(
        dicom, "_read_native", lambda *a: pytest.fail("decoded before its size was looked at")
    )
    message = reason(make_dicom(NOISE, Rows=65_535, Columns=65_535))
    assert f"4,294,836,225 pixels, at most {images.MAX_PIXELS:,}" in message
    assert "sides need 16" in reason(make_dicom(NOISE, Rows=15))


@pytest.mark.parametrize("missing", [1, 2, 40, 1000])
def test_missing_bytes_are_missed(missing):
    assert "cut short" in reason(make_dicom(NOISE)[:-missing])


def test_a_deflated_bomb_is_refused_before_it_is_held(monkeypatch):
    monkeypatch.setattr(dicom, "MAX_BYTES", 10_000)
    assert "bytes, at most 10,000" in reason(make_dicom(np.zeros((200, 200), np.uint8), DEFLATED))


def test_threads_read_what_one_thread_reads():
    files = [make_dicom(NOISE[::step], JPEG_LS) for step in (1, 2)] * 8
    expected = [load_image(data) for data in files]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(load_image, files), expected, strict=True):
            np.testing.assert_array_equal(one, other)


# --- nothing personal leaves the file -------------------------------------------------------------------


def spoil(data: bytes) -> dict[str, bytes]:
    """The film damaged in ways that make pydicom speak, with the name in what it would speak about."""
    name = NAME.encode()
    pixels = data.index(b"\xe0\x7f\x10\x00")
    slope = make_element(0x00281053, b"DS", name + b" ")
    return {
        "number that is a name": data[:pixels] + slope + data[pixels:],
        "frames that are a name": insert_elements(data, make_element(0x00280008, b"IS", name + b" ")),
        "unknown character set": data.replace(
            b"\x08\x00\x16\x00UI", make_element(0x00080005, b"CS", b"GEHEIM  ") + b"\x08\x00\x16\x00UI", 1
        ),
        "unknown representation": insert_elements(data, make_element(0x00100010, b"Z9", name + b" ")),
        "date that is a name": insert_elements(data, make_element(0x00100030, b"DA", name + b" ")),
        "uid that is a name": data.replace(b"1.2.840.10008.1.2.1\0", b"Geheim^Gisela.00000\0", 1),
        "colours that are a name": data.replace(b"MONOCHROME2 ", b"GEHEIM GISEL", 1),
        "cut": data[:-100],
        "cut in the elements": data[: data.index(PATIENT_ID.encode()) + 20],
        "good": data,
    }


@pytest.mark.parametrize("damage", spoil(make_dicom(NOISE)))
def test_name_and_number_of_a_patient_are_told_nobody(damage, caplog, capfd, tmp_path, monkeypatch):
    data = spoil(make_dicom(NOISE))[damage]
    assert PATIENT_ID.encode() in data and b"eheim" in data
    monkeypatch.setattr(pydicom.config, "debugging", True)  # then pydicom logs every element it meets
    caplog.set_level(logging.DEBUG)
    logging.getLogger("pydicom").setLevel(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            load_image(data)
            said = ""
        except ImageError as error:
            assert error.__cause__ is None and error.__context__ is None
            said = "".join(traceback.format_exception(error)) + repr(error)
    printed = capfd.readouterr()
    said += caplog.text + "".join(str(warning.message) for warning in caught) + printed.out + printed.err
    assert not caught and not caplog.records
    for secret in ("geheim", "gisel", PATIENT_ID.lower(), "4711"):
        assert secret not in said.lower()
    assert logging.getLogger("pydicom").level == logging.DEBUG  # as it was


def test_pydicom_would_have_told(caplog):
    """The test above would see it: read without care, the same file is all over the log."""
    caplog.set_level(logging.DEBUG)
    data = spoil(make_dicom(NOISE))["unknown character set"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        str(pydicom.dcmread(io.BytesIO(data)).PatientName)
    assert any("GEHEIM" in str(warning.message) for warning in caught)


def test_warnings_are_heard_again_afterwards():
    load_image(make_dicom(NOISE))
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", stacklevel=1)
