"""Corrupted and stretched films against Pillow, SciPy and arithmetic; models whose answers are known."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.robustness import (
    BATCH_SIZE,
    CORRUPTIONS,
    JPEG_SIDE,
    SEVERITIES,
    compute_corruption_curves,
    compute_stretch_losses,
    corrupt_films,
    stretch_films,
)

NAMES = list(CORRUPTIONS)
WITH_DRAWS = ("noise", "rotation", "stretch")


@pytest.fixture(scope="module")
def phantoms():
    return make_phantoms(8, image_size=64).images


@pytest.fixture(scope="module")
def random_films():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 40), dtype=np.uint8)


def list_strengths(name: str) -> list[tuple[int, float]]:
    return list(zip(SEVERITIES, CORRUPTIONS[name].strengths, strict=True))


def test_there_are_nine_corruptions_of_five_growing_strengths():
    expected = ["noise", "blur", "contrast", "jpeg", "rotation", "stretch", "crop", "border", "inverted"]
    assert expected == NAMES
    for name, corruption in CORRUPTIONS.items():
        steps = np.diff(corruption.strengths)
        assert len(steps) == 4 and corruption.unit, name
        assert np.all(steps < 0 if name == "jpeg" else steps > 0), name  # a lower quality is worse


@pytest.mark.parametrize("name", NAMES)
def test_each_severity_takes_a_film_further_from_what_it_was(phantoms, name):
    shifts = [
        np.abs(corrupt_films(phantoms, name, severity=s) - phantoms.astype(float)).mean() for s in SEVERITIES
    ]
    assert shifts[0] > 0 and np.all(np.diff(shifts) > 0), shifts


@pytest.mark.filterwarnings("error")  # PyTorch only warns where it is handed pixels that it must not write to
@pytest.mark.parametrize("name", NAMES)
def test_the_films_that_are_handed_over_stay_as_they_are(random_films, name):
    films = random_films.copy()
    films.setflags(write=False)  # as those of a memory map
    corrupted = corrupt_films(films, name, severity=5)
    assert np.array_equal(films, random_films) and not np.shares_memory(films, corrupted)
    assert corrupted.dtype == np.uint8 and corrupted.shape == films.shape


@pytest.mark.parametrize("name", NAMES)
def test_a_film_is_the_same_whatever_follows_it(name):
    films = np.random.default_rng(1).integers(0, 256, (BATCH_SIZE + 3, 16, 16), dtype=np.uint8)
    together = corrupt_films(films, name, severity=3, seed=4)  # more than one batch
    for count in (1, BATCH_SIZE + 1):
        assert np.array_equal(corrupt_films(films[:count], name, severity=3, seed=4), together[:count]), count


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_what_is_drawn_and_only_that(random_films, name):
    one, again, other = (corrupt_films(random_films, name, severity=4, seed=seed) for seed in (0, 0, 3))
    assert np.array_equal(one, again) and np.array_equal(one, other) == (name not in WITH_DRAWS)


@pytest.mark.parametrize("name", NAMES)
def test_no_film_and_one_film_are_films_too(random_films, name):
    assert corrupt_films(random_films[:0], name, severity=1).shape == (0, 32, 40)
    assert corrupt_films(random_films[:1], name, severity=1).shape == (1, 32, 40)


@pytest.mark.parametrize(("severity", "std"), list_strengths("noise"))
def test_noise_has_the_stated_deviation_and_is_each_pixels_own(severity, std):
    grey = np.full((4, 100, 100), 127, np.uint8)
    noise = corrupt_films(grey, "noise", severity=severity) - 127.0
    # What would leave 0 to 255 is cut off: at 40 grey levels the two ends beyond 3.2 deviations, 0.1 % of
    # the pixels. Rounding adds a variance of 1 / 12. 40,000 pixels leave the deviation unsure by 0.35 %.
    cut = np.random.default_rng(9).normal(0, std, 10**6).clip(-127, 128)
    assert noise.std() == pytest.approx(np.hypot(cut.std(), np.sqrt(1 / 12)), rel=0.02)
    assert abs(noise.mean()) < 5 * std / 200
    neighbours = [
        np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel()),
        np.corrcoef(noise[0].ravel(), noise[1].ravel()),
    ]
    assert all(abs(table[0, 1]) < 0.05 for table in neighbours)


def test_black_and_white_stay_at_their_end_of_the_grey_scale():
    films = np.repeat(np.array([0, 255], np.uint8), 10**4).reshape(2, 100, 100)
    black, white = corrupt_films(films, "noise", severity=1)
    for change in (black, 255 - white):  # half of the noise is cut off
        assert (change == 0).mean() == pytest.approx(
            0.55, abs=0.02
        )  # what is below 0.5 is 0: Phi(0.5 / 4) = 0.55
        assert change.max() < 6 * 4


@pytest.mark.parametrize(("severity", "percent"), list_strengths("blur"))
@pytest.mark.parametrize("size", [64, 128, 224])
def test_films_of_any_size_are_blurred_alike(severity, percent, size):
    """A Gaussian of deviation s, a share of the side, shrinks n waves a side by exp(-(2 pi n s)^2 / 2)."""
    waves = 127 + 100 * np.cos(2 * np.pi * 4 * (np.arange(size) + 0.5) / size)
    film = np.tile(waves.round().astype(np.uint8), (size, 1))
    films = corrupt_films(np.stack([film, film.T]), "blur", severity=severity).astype(float)
    expected = 127 + (waves - 127) * np.exp(-((2 * np.pi * 4 * percent / 100) ** 2) / 2)
    middle = slice(size // 4, -size // 4)  # two waves, far from the edges
    assert np.abs(films[0] - expected)[:, middle].max() <= 1.2
    assert np.array_equal(films[0], films[1].T)


def test_a_strong_blur_is_scipys_with_shares_of_height_and_width_and_edges_continued(random_films):
    blurred = corrupt_films(random_films.repeat(3, 1).repeat(3, 2), "blur", severity=5)
    for film, got in zip(random_films.repeat(3, 1).repeat(3, 2).astype(float), blurred, strict=True):
        expected = ndimage.gaussian_filter(film, (0.025 * 96, 0.025 * 120), mode="nearest")
        assert np.abs(got - expected).max() <= 2.5  # of 255: the two kernels differ a little


@pytest.mark.parametrize(("severity", "percent"), list_strengths("contrast"))
def test_contrast_shrinks_about_the_mean_of_each_film(severity, percent):
    films = np.repeat(np.array([[40, 80], [100, 220]], np.uint8), 50, axis=1).reshape(2, 10, 10)
    kept = 1 - percent / 100  # means 60 and 160, from which the levels are 20 and 60 away
    got = corrupt_films(films, "contrast", severity=severity)
    for film, mean, away in zip(got, (60, 160), (20, 60), strict=True):
        assert sorted(np.unique(film)) == pytest.approx([mean - away * kept, mean + away * kept], abs=0.501)


@pytest.mark.parametrize(("severity", "quality"), list_strengths("jpeg"))
def test_jpeg_at_224_pixels_is_pillows_round_trip(severity, quality):
    film = make_phantoms(8, image_size=JPEG_SIDE).images[0]
    file = io.BytesIO()
    Image.fromarray(film).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file))
    assert np.array_equal(corrupt_films(film[None], "jpeg", severity=severity)[0], expected)


def test_jpeg_alone_changes_a_film_of_another_size_and_no_resizing(phantoms):
    # A film of one grey level comes out of the compression as it went in, at any size.
    flat = np.full((1, 50, 70), 128, np.uint8)
    assert np.array_equal(corrupt_films(flat, "jpeg", severity=5), flat)
    # Resizing there and back alone would lose fine stripes; at quality 60 the compression does not.
    stripes = np.tile(np.array([90, 160], np.uint8), (64, 32))[None]
    error = corrupt_films(stripes, "jpeg", severity=1) - stripes.astype(float)
    assert 0 < np.abs(error).mean() < 10


@pytest.mark.parametrize(("severity", "degrees"), list_strengths("rotation"))
def test_rotation_is_scipys_to_either_side(severity, degrees):
    film = ndimage.gaussian_filter(make_phantoms(8, image_size=64).images[0], 2)  # smooth: fine pixels differ
    turned = corrupt_films(np.repeat(film[None], 40, axis=0), "rotation", severity=severity)
    sides = [
        ndimage.rotate(film.astype(float), angle, reshape=False, order=1) for angle in (degrees, -degrees)
    ]
    inside = np.hypot(*np.mgrid[-31.5:32, -31.5:32]) < 30  # the rim is mixed with black in another way
    distances = np.array([[np.abs(got - side)[inside].max() for side in sides] for got in turned])
    assert distances.min(1).max() <= 1.6  # Pillow cuts decimals off, and so does an edge in the film
    chosen = distances.argmin(1)
    assert distances.max(1).min() > 10 and 8 <= chosen.sum() <= 32  # 20 +- 3.2 of 40 go to one side


def test_what_a_rotation_bares_is_black():
    turned = corrupt_films(np.full((1, 60, 60), 200, np.uint8), "rotation", severity=5)[0]
    assert turned[0, 0] == turned[0, -1] == turned[-1, 0] == turned[-1, -1] == 0 and turned[30, 30] == 200


@pytest.mark.parametrize(("severity", "percent"), list_strengths("stretch"))
def test_the_aspect_changes_by_the_stated_share_one_way_or_the_other(severity, percent):
    films = np.zeros((40, 200, 200), np.uint8)
    films[:, 60:140, 60:140] = 255
    got = corrupt_films(films, "stretch", severity=severity) >= 128
    widths, heights = got.any(1).sum(1), got.any(2).sum(1)
    is_wide, factor = widths > heights, np.sqrt(1 + percent / 100)
    assert 8 <= is_wide.sum() <= 32
    assert widths == pytest.approx(np.where(is_wide, 80 * factor, 80 / factor), abs=1.01)
    assert heights == pytest.approx(np.where(is_wide, 80 / factor, 80 * factor), abs=1.01)


@pytest.mark.parametrize(("severity", "percent"), list_strengths("crop"))
def test_a_crop_shows_the_middle_as_large_as_the_film(severity, percent):
    # Two grey ramps over 200 pixels. The middle from p % to 100 - p % takes their place, edge to edge.
    ramp = np.arange(200, dtype=np.uint8)
    films = np.stack([np.tile(ramp, (200, 1)), np.tile(ramp[:, None], (1, 200))])
    across, down = corrupt_films(films, "crop", severity=severity)
    share = percent / 100
    expected = share * 200 - 0.5 + (np.arange(200) + 0.5) * (1 - 2 * share)  # centres lie at k + 0.5
    assert np.abs(across - expected).max() <= 0.51 and np.abs(down - expected[:, None]).max() <= 0.51


@pytest.mark.parametrize(("severity", "percent"), list_strengths("border"))
@pytest.mark.parametrize("shape", [(64, 64), (224, 224), (100, 200)])
def test_a_border_frames_the_whole_film_as_pillow_shrinks_it(severity, percent, shape):
    film = np.random.default_rng(2).integers(1, 256, shape, dtype=np.uint8)
    framed = corrupt_films(film[None], "border", severity=severity)[0]
    top, left = (round(percent * side / 100) for side in shape)
    inside = np.s_[top : shape[0] - top, left : shape[1] - left]
    size = (shape[1] - 2 * left, shape[0] - 2 * top)
    assert np.array_equal(
        framed[inside], np.asarray(Image.fromarray(film).resize(size, Image.Resampling.BILINEAR))
    )
    framed[inside] = 0
    assert not framed.any() and top > 0


@pytest.mark.parametrize(("severity", "percent"), list_strengths("inverted"))
def test_the_negative_is_mixed_in(severity, percent):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    expected = [(1 - percent / 100) * level + percent / 100 * (255 - level) for level in range(256)]
    got = corrupt_films(levels, "inverted", severity=severity).ravel()
    assert got == pytest.approx(np.array(expected), abs=0.501)
    assert severity < 5 or np.array_equal(got, 255 - levels.ravel())


@pytest.mark.parametrize(
    ("name", "severity", "said"),
    [
        ("fog", 1, "'fog'.*noise, blur"),
        ("noise", 0, "is 0.*1 to 5"),
        ("noise", 6, "is 6"),
        ("noise", 1.5, "1.5"),
    ],
)
def test_an_unknown_name_or_severity_is_refused(random_films, name, severity, said):
    with pytest.raises(UsageError, match=said):
        corrupt_films(random_films, name, severity=severity)
    if name in NAMES:  # refused before a model is asked
        dataset = make_phantoms(8, image_size=32)
        with pytest.raises(UsageError, match=said):
            compute_corruption_curves(pytest.fail, dataset, severities=[severity], threshold=0.5)


@pytest.fixture
def greys():
    """Films of one grey level each: 60, 100 and 140 are normal, 120, 160 and 200 are not."""
    levels = np.array([60, 100, 140, 120, 160, 200], np.uint8)
    names = np.array(list("abcdef"))
    images = np.repeat(levels, 64).reshape(6, 8, 8)
    return XrayDataset(images, np.array([0, 0, 0, 1, 1, 1]), names, names, names, "synthetic", "test")


def read_brightness(films):
    return films.images.mean((1, 2)) / 255


def test_curves_worked_out_by_hand(greys):
    curves = compute_corruption_curves(read_brightness, greys, severities=[5, 1], threshold=130 / 255)
    # As they are: of nine pairs only (120, 140) is ranked wrongly; 160 and 200 are found, 140 is called too.
    plain = {"auroc": 8 / 9, "sensitivity": 2 / 3, "specificity": 2 / 3}
    # Turned over: 195, 155, 115 normal and 135, 95, 55 not: one pair right, and of each class one film is.
    over = {"auroc": 1 / 9, "sensitivity": 1 / 3, "specificity": 1 / 3}
    # Mixed with a tenth, x becomes 0.8 x + 25.5: 120 becomes 121.5 and 140 becomes 137.5, as before on
    # either side of the threshold of 130.
    expected = [(0, None, plain), (5, 100, over), (1, 10, plain)]
    for row, (severity, strength, figures) in zip(curves["inverted"], expected, strict=True):
        assert row == {"severity": severity, "strength": strength} | figures, severity
    # A film of one grey level has no contrast to lose.
    for row, strength in zip(curves["contrast"], (None, 80, 15), strict=True):
        assert row["strength"] == strength and {name: row[name] for name in plain} == plain


def test_the_model_sees_the_corrupted_films_and_the_rest_as_it_was():
    phantoms, seen = make_phantoms(10, image_size=32), []

    def predict(films):
        seen.append(films)
        return read_brightness(films)

    curves = compute_corruption_curves(predict, phantoms, severities=(2, 4), threshold=0.5)
    assert list(curves) == NAMES and all(
        [r["severity"] for r in rows] == [0, 2, 4] for rows in curves.values()
    )
    assert np.array_equal(seen[0].images, phantoms.images)
    asked = [(name, severity) for name in NAMES for severity in (2, 4)]
    for films, (name, severity) in zip(seen[1:], asked, strict=True):
        expected = corrupt_films(phantoms.images, name, severity=severity)
        assert np.array_equal(films.images, expected), name
        assert np.array_equal(films.names, phantoms.names) and films.split == phantoms.split


def test_curves_are_plain_values(greys):
    severities = np.array([1, 5])
    curves = compute_corruption_curves(read_brightness, greys, severities=severities, threshold=0.5)
    assert json.loads(json.dumps(curves, allow_nan=False)) == curves


@pytest.mark.parametrize(("label", "lost"), [(0, "sensitivity"), (1, "specificity")])
def test_one_class_alone_has_no_auroc(greys, label, lost):
    films = greys.select(greys.labels == label)
    curves = compute_corruption_curves(read_brightness, films, severities=[1], threshold=0.5)
    for row in curves["blur"]:
        assert row["auroc"] is None and row[lost] is None
        assert row["specificity" if label == 0 else "sensitivity"] == pytest.approx(2 / 3)


def test_one_film_is_judged_and_none_is_refused(greys):
    settings = {"severities": [1], "threshold": 0.5}
    one = compute_corruption_curves(read_brightness, greys.select([5]), **settings)
    assert [row["sensitivity"] for row in one["noise"]] == [1, 1]
    with pytest.raises(PneumoError, match="no film"):
        compute_corruption_curves(read_brightness, greys.select([]), **settings)


def make_square(side: int, *, size: int = 120) -> np.ndarray:
    """White on black, in the middle of one film, uint8 (1, S, S)."""
    film = np.zeros((1, size, size), np.uint8)
    edge = (size - side) // 2
    film[0, edge : size - edge, edge : size - edge] = 255
    return film


def measure_square(film: np.ndarray) -> tuple[int, int]:
    """Width and height of what is white, pixels, once it is checked that it is a rectangle in the middle."""
    inside = film >= 128
    columns, rows = inside.any(0), inside.any(1)
    assert np.array_equal(inside, rows[:, None] & columns[None])
    assert np.array_equal(columns, columns[::-1]) and np.array_equal(rows, rows[::-1])
    return int(columns.sum()), int(rows.sum())


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        ({}, (60, 60)),
        ({"width": 1.2}, (72, 60)),
        ({"width": 1 / 1.2}, (50, 60)),
        ({"height": 1.2}, (60, 72)),
        ({"height": 1 / 1.2}, (60, 50)),
        ({"width": 1.5, "height": 0.5}, (90, 30)),
    ],
)
def test_a_square_of_60_pixels_grows_by_the_factor_about_the_centre(factor, expected):
    assert measure_square(stretch_films(make_square(60), **factor)[0]) == expected


def test_a_factor_of_one_changes_no_pixel():
    films = np.random.default_rng(0).integers(0, 256, (300, 16, 16), dtype=np.uint8)  # more than one batch
    assert np.array_equal(stretch_films(films), films)


def test_each_film_is_stretched_on_its_own_and_in_its_place():
    films = np.random.default_rng(0).integers(0, 256, (300, 16, 16), dtype=np.uint8)
    together = stretch_films(films, width=1.2)
    for index in (0, 255, 256, 299):
        assert np.array_equal(together[index], stretch_films(films[index : index + 1], width=1.2)[0])


def test_what_grows_beyond_the_frame_is_cut_off_and_what_is_left_free_takes_the_edge():
    film = np.full((1, 60, 60), 50, np.uint8)
    film[0, :, :6], film[0, :, 54:] = 200, 150  # strips of 6 pixels at the left and at the right
    narrow = stretch_films(film, width=0.5)[0]
    # Half of the width is left free, 15 pixels a side, beside the strips' own 3.
    assert (narrow[:, :17] == 200).all() and (narrow[:, 43:] == 150).all()
    assert (narrow[:, 19:41] == 50).all()
    wide = stretch_films(film, width=1.5)[0]  # 10 of the film's 60 pixels are lost at each side
    assert (wide == 50).all()


@pytest.fixture(scope="module")
def squares():
    """Films of squares: 40 px where it is normal, and for pneumonia 44, 48 and 60 px."""
    sides = [40, 40, 40, 44, 48, 60]
    names = np.array([f"f{i}" for i in range(6)])
    images = np.concatenate([make_square(side) for side in sides])
    return XrayDataset(images, np.array([0, 0, 0, 1, 1, 1]), names, names, names, "synthetic", "test")


def test_a_model_that_looks_at_neither_side_loses_nothing(squares):
    losses = compute_stretch_losses(lambda films: np.arange(6.0), squares)
    assert losses == {"wider": 0, "narrower": 0, "taller": 0, "flatter": 0}


def test_the_losses_are_those_of_the_stretched_films(squares):
    """A score that is highest for squares of 48 pixels' width and knows no height."""

    def predict(films):
        return np.array([-abs(measure_square(film)[0] - 48.0) for film in films.images])

    losses = compute_stretch_losses(predict, squares)
    # As they are: normal -8 three times; pneumonia -4, 0 and -12. Two of three are above all normal ones,
    # one below all: AUROC 2/3. Wider: normal 48, score 0; pneumonia about 53, 58 and 72, all below: 0.
    # Narrower: normal about 33, score -15; pneumonia about 37, 40 and 50, scores -11, -8 and -2: 1.
    assert losses["wider"] == pytest.approx(2 / 3 - 0)
    assert losses["narrower"] == pytest.approx(2 / 3 - 1)
    assert losses["taller"] == losses["flatter"] == 0


def test_the_factor_is_a_fifth_more(squares):
    seen = []

    def predict(films):
        seen.append(measure_square(films.images[5]))
        return np.arange(6.0)

    compute_stretch_losses(predict, squares)
    assert seen == [(60, 60), (72, 60), (50, 60), (60, 72), (60, 50)]


def test_all_that_is_known_of_the_films_is_handed_on():
    phantoms = make_phantoms(8, image_size=32)

    def predict(films):
        assert replace(films, images=phantoms.images).fingerprint() == phantoms.fingerprint()
        return films.images.mean((1, 2))

    losses = compute_stretch_losses(predict, phantoms)
    expected = roc_auc_score(phantoms.labels, phantoms.images.mean((1, 2)))
    expected -= roc_auc_score(phantoms.labels, stretch_films(phantoms.images, height=1.2).mean((1, 2)))
    assert losses["taller"] == pytest.approx(expected)


def test_without_both_classes_there_is_no_loss(squares):
    predict = pytest.fail  # is not even asked
    assert compute_stretch_losses(predict, squares.select(squares.labels == 1)) is None
