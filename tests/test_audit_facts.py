"""The facts of each file: the table, what a picture is measured to be, burned-in letters, empty borders."""

import io

import numpy as np
import pytest
import tifffile
from audit_films import make_blobs, write
from dicom_files import make_dataset
from dicom_files import write as write_dicom
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from scipy.ndimage import gaussian_filter

from pneumo_utils.audit.facts import find_marks, measure_borders, measure_picture, read_facts


def encode(pixels, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(stream, kind, **options)
    return stream.getvalue()


# --- the table --------------------------------------------------------------------------------------------


def test_the_sorted_table_is_the_same_with_one_thread_and_with_many(tmp_path):
    for seed in range(12):
        write(tmp_path, f"NORMAL/{seed}.png", seed)
    one, many = (read_facts(tmp_path, num_threads=count).films for count in (1, 4))
    assert one["name"].tolist() == sorted(f"NORMAL/{seed}.png" for seed in range(12))
    assert one["pixel_hash"].tolist() == many["pixel_hash"].tolist()


# --- facts of a file --------------------------------------------------------------------------------------


def test_facts_of_a_known_picture():
    pixels = make_blobs(0, height=140, width=210)
    picture = measure_picture(encode(pixels, "PNG"))
    assert [picture[name] for name in ("width", "height", "aspect")] == [210, 140, 1.5]
    assert [picture[name] for name in ("mode", "format", "is_progressive")] == ["L", "PNG", False]
    assert picture["mean_intensity"] == pytest.approx(pixels.mean())
    assert picture["std_intensity"] == pytest.approx(pixels.std())
    assert np.isnan(picture["jpeg_quality"])
    assert picture["thumbnail"].shape == (64, 64) and picture["thumbnail"].dtype == np.uint8


def test_a_dicom_film_is_a_row_like_any_other(tmp_path):
    pixels = make_blobs(0, height=140, width=210)
    write(tmp_path, "NORMAL/a.png", pixels)
    (tmp_path / "NORMAL/b").write_bytes(write_dicom(make_dataset(pixels)))
    first, second = read_facts(tmp_path).readable.to_dict("records")
    assert (second["mode"], second["format"], second["width"]) == ("DICOM", "DICOM", 210)
    assert np.isnan(second["jpeg_quality"]) and second["perceptual_hash"] == first["perceptual_hash"]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_the_mode_is_the_files_own(mode):
    picture = Image.fromarray(make_blobs(0)).convert(mode)
    assert measure_picture(encode(picture, "PNG"))["mode"] == mode


def test_a_film_that_is_read_without_pillow_is_measured_all_the_same():
    levels = make_blobs(0).astype(np.float64)
    stream = io.BytesIO()
    tifffile.imwrite(stream, levels)
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(stream.getvalue()))
    found = measure_picture(stream.getvalue())
    assert (found["height"], found["width"]) == levels.shape and np.isnan(found["jpeg_quality"])
    assert not found["is_progressive"]


@pytest.mark.parametrize("quality", [25, 50, 60, 75, 90, 95, 100])
def test_jpeg_quality_is_read_from_the_file(quality):
    data = encode(make_blobs(0), "JPEG", quality=quality)
    assert measure_picture(data)["jpeg_quality"] == pytest.approx(quality, abs=1)


@pytest.mark.parametrize("progressive", [False, True])
def test_progressive_files_are_told(progressive):
    picture = measure_picture(encode(make_blobs(0), "JPEG", progressive=progressive))
    assert picture["is_progressive"] is progressive


def test_the_pixel_hash_sees_pixels_and_size_only():
    pixels = make_blobs(0)
    same = [measure_picture(encode(pixels, kind))["pixel_hash"] for kind in ("PNG", "BMP", "TIFF")]
    assert len(set(same)) == 1
    other = pixels.copy()
    other[3, 4] ^= 1
    reshaped = pixels.reshape(pixels.shape[0] // 2, -1)
    for changed in (other, reshaped):
        assert measure_picture(encode(changed, "PNG"))["pixel_hash"] != same[0]


def test_each_file_is_read_once(tmp_path, monkeypatch):
    paths = [write(tmp_path, f"NORMAL/{seed}.png", seed) for seed in range(5)]
    opened, inner = [], io.open

    def spy(file, *words, **settings):
        opened.append(str(file))
        return inner(file, *words, **settings)

    monkeypatch.setattr(io, "open", spy)  # the way of pathlib
    monkeypatch.setattr("builtins.open", spy)  # the way of Pillow
    read_facts(tmp_path)
    assert sorted(name for name in opened if name.endswith(".png")) == sorted(map(str, paths))


# --- marks and borders ------------------------------------------------------------------------------------


def make_chest() -> np.ndarray:
    """Soft bright bands on grey, as ribs are, with a little grain; uint8 (224, 224)."""
    y, x = np.mgrid[:224, :224]
    bands = 100 + 60 * np.sin((y + 0.3 * np.abs(x - 112)) / 6)
    return gaussian_filter(bands + np.random.default_rng(0).normal(0, 2, bands.shape), 1).astype(np.uint8)


def draw_letter(film: np.ndarray, x: int, y: int, *, height: int = 20, level: int = 250) -> np.ndarray:
    picture = Image.fromarray(film)
    ImageDraw.Draw(picture).text((x, y), "R", fill=level, font=ImageFont.load_default(height))
    return np.array(picture)


def test_ribs_are_no_marks():
    assert find_marks(make_chest()) == []


@pytest.mark.parametrize("height", [12, 20, 32])
@pytest.mark.parametrize(("x", "y"), [(8, 10), (190, 10), (8, 180), (190, 120)])
def test_a_letter_near_the_edge_is_found_where_it_stands(x, y, height):
    plain = make_chest() // 2
    film = draw_letter(plain, x, y, height=height)
    rows, columns = np.nonzero(film != plain)
    (box,) = find_marks(film)
    expected = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    assert np.abs(np.subtract(box, expected)).max() <= 2


def test_a_letter_in_the_middle_is_left_alone():
    assert find_marks(draw_letter(make_chest() // 2, 105, 100)) == []


def test_a_faint_letter_is_missed():
    film = np.full((224, 224), 60, np.uint8)
    assert find_marks(draw_letter(film, 10, 10, level=90)) == []
    assert len(find_marks(draw_letter(film, 10, 10, level=250))) == 1


def test_large_things_are_no_letters():
    film = np.full((224, 224), 60, np.uint8)
    film[5:8, 5:120] = 250  # a bar of 115 pixels
    film[60:140, 5:60] = 250  # a plate
    assert find_marks(film) == []


def test_an_empty_film_has_no_marks():
    assert find_marks(np.zeros((224, 224), np.uint8)) == []


def test_borders_are_measured_on_each_side():
    film = np.random.default_rng(0).integers(60, 200, (100, 200), dtype=np.uint8)
    film[:7], film[-3:], film[:, :10], film[:, -20:] = 0, 255, 90, 0
    # The corners mix levels: a row of the top border meets the grey left one, so it is not empty.
    assert measure_borders(film)[0] == 0
    film[:, :10] = 0
    film[:7], film[-3:] = 0, 0
    assert measure_borders(film) == pytest.approx((7 / 100, 10 / 200, 3 / 100, 20 / 200))


def test_a_film_without_a_border_and_one_that_is_nothing_else():
    film = np.random.default_rng(0).integers(60, 200, (50, 50), dtype=np.uint8)
    assert measure_borders(film) == (0, 0, 0, 0)
    assert measure_borders(np.full((50, 50), 7, np.uint8)) == (1, 1, 1, 1)
    faint = np.full((50, 50), 7, np.uint8)
    faint[:, ::2] += 16  # within the range that compression leaves on an empty line
    assert measure_borders(faint)[0] == 1
    faint[:, 0] = 7 + 17
    assert measure_borders(faint)[0] == 0
