"""The guard: what it says of made-up images, and that it is silent on real films."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumo_utils.data.image_io import load_image
from pneumo_utils.errors import ImageError
from pneumo_utils.inference.guard import check_film, survey_films

ORIGINALS = Path(__file__).parents[2] / "shared/data/chest_xray_original_sample"


def make_film(height=400, width=500, low=40, high=215):
    """uint8 (H, W) with every level from low to high about equally often."""
    return np.linspace(low, high, height * width).reshape(height, width).round().astype(np.uint8)


def test_an_ordinary_image_gives_no_warning():
    assert check_film(make_film()) == []


@pytest.mark.parametrize(("shape", "is_small"), [((128, 200), False), ((127, 200), True), ((200, 127), True)])
def test_small(shape, is_small):
    warnings = check_film(make_film(*shape))
    assert len(warnings) == is_small
    assert not is_small or f"{shape[1]} x {shape[0]}" in warnings[0]


@pytest.mark.parametrize(
    ("shape", "aspect"),
    [((400, 1000), None), ((400, 1004), "2.51"), ((400, 200), None), ((400, 196), "0.49")],
)
def test_aspect(shape, aspect):
    warnings = check_film(make_film(*shape))
    assert len(warnings) == (aspect is not None)
    assert aspect is None or f"{aspect} times as wide" in warnings[0]


@pytest.mark.parametrize(("level", "name"), [(0, "black"), (10, "black"), (245, "white"), (255, "white")])
def test_mostly_black_or_white(level, name):
    film = make_film()
    film[:200] = level  # exactly half of the rows: not yet "mostly"
    assert check_film(film) == []
    film[:300] = level
    (warning,) = check_film(film)
    assert f"75% {name}" in warning


@pytest.mark.parametrize("level", [11, 244])
def test_half_dark_greys_are_not_black_and_light_ones_not_white(level):
    film = make_film()
    film[:300] = level
    assert check_film(film) == []


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank(level):
    with pytest.raises(ImageError, match="blank"):
        check_film(np.full((400, 500), level, np.uint8))


def test_blank_is_judged_without_the_extreme_pixels():
    film = np.full((400, 500), 100, np.uint8)
    film[:2], film[-2:] = 0, 255  # 0.5 % of the rows at either end
    with pytest.raises(ImageError, match="span 0 of 255"):
        check_film(film)


@pytest.mark.parametrize(("step", "is_blank"), [(9, True), (10, False)])
def test_blank_limit(step, is_blank):
    film = np.full((400, 500), 100, np.uint8)
    film[:200] += np.uint8(step)
    if is_blank:
        with pytest.raises(ImageError, match="span 9 of 255"):
            check_film(film)
    else:
        assert check_film(film) == []


def test_several_warnings_keep_their_order():
    film = make_film(100, 600)
    film[:80] = 0
    small, aspect, black = check_film(film)
    assert "600 x 100" in small and "6.00 times" in aspect and "80% black" in black
    assert all(warning.endswith(".") for warning in (small, aspect, black))


@pytest.mark.parametrize(
    "image", [np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.float32)], ids=["colour", "float"]
)
def test_other_arrays_are_a_mistake_of_the_caller(image):
    with pytest.raises(ValueError, match=r"expected uint8 \(H, W\)"):
        check_film(image)


def test_the_image_is_left_as_it_was():
    film = make_film()
    before = film.copy()
    check_film(film)
    np.testing.assert_array_equal(film, before)


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason="the sample of original films is not here")
def test_real_films_give_no_warning():
    paths = sorted(ORIGINALS.glob("*/*.jpeg"))[::3]
    assert len(paths) >= 20
    assert {path.name: w for path in paths if (w := check_film(load_image(path)))} == {}


def test_films_of_elsewhere_are_surveyed_by_name(tmp_path):
    places = {
        "fine.png": make_film(),
        "small.png": make_film(100, 120),
        "blank.png": make_film(low=5, high=5),
    }
    for name, film in places.items():
        Image.fromarray(film).save(tmp_path / name)
    (tmp_path / "torn.png").write_bytes((tmp_path / "fine.png").read_bytes()[:300])
    found = survey_films([tmp_path / name for name in [*places, "torn.png"]], folder=tmp_path)
    assert list(found) == ["small.png", "blank.png", "torn.png"]
    assert "120 x 100" in found["small.png"] and "blank" in found["blank.png"]
    assert "damaged" in found["torn.png"]
