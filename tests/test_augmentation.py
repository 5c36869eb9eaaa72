"""The random changes to training films: what they do, how often, and where."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import STILL
from PIL import Image, ImageOps

from pneumo_utils.config import Augmentation
from pneumo_utils.data.augmentation import augment_films, make_lung_mask


@pytest.fixture
def levels():
    """Eight smooth films in 0 to 1, brighter to the right."""
    x = torch.linspace(0.2, 0.8, 33)
    return x.expand(8, 1, 33, 33).clone()


def make_draws(seed=0):
    return torch.Generator().manual_seed(seed)


def test_ranges_of_zero_change_nothing(levels):
    assert torch.allclose(augment_films(levels, STILL, generator=make_draws()), levels, atol=1e-5)


def test_the_same_seed_gives_the_same_films_and_another_seed_others(levels):
    first = augment_films(levels, Augmentation(), generator=make_draws(1))
    assert torch.equal(first, augment_films(levels, Augmentation(), generator=make_draws(1)))
    assert not torch.equal(first, augment_films(levels, Augmentation(), generator=make_draws(2)))


def test_each_film_has_a_draw_of_its_own(levels):
    got = augment_films(levels, Augmentation(), generator=make_draws())
    assert all(not torch.equal(got[i], got[j]) for i in range(8) for j in range(i))


def test_the_outside_is_that_of_the_next_film_and_the_lungs_stay():
    films = torch.rand(4, 1, 32, 32, generator=make_draws())
    swapped = augment_films(films, replace(STILL, outside_prob=1.0), generator=make_draws())
    lungs = torch.from_numpy(make_lung_mask(32))
    for place in range(4):
        expected = torch.where(lungs, films[place], films[(place + 1) % 4])
        assert torch.allclose(swapped[place], expected, atol=2e-4)  # tones stop at 1e-4
    some = augment_films(films.repeat(64, 1, 1, 1), replace(STILL, outside_prob=0.5), generator=make_draws())
    changed = (some - films.repeat(64, 1, 1, 1)).abs().amax((1, 2, 3)) > 1e-3
    assert 0.4 < changed.float().mean() < 0.6


@pytest.mark.parametrize("name", list(Augmentation.__dataclass_fields__))
def test_every_setting_has_an_effect_and_stays_in_range(levels, name):
    ranges = replace(STILL, **{name: 1.0})
    levels[::2] = levels[::2].flip(-1)  # neighbours differ
    got = augment_films(levels, ranges, generator=make_draws())
    assert not torch.allclose(got, levels, atol=1e-3)
    assert got.min() >= 0 and got.max() <= 1 and got.shape == levels.shape


def test_a_flip_is_a_flip(levels):
    got = augment_films(levels, replace(STILL, flip_prob=1.0), generator=make_draws())
    assert torch.allclose(got, levels.flip(-1), atol=1e-5)


def test_a_stretch_changes_width_over_height_by_the_drawn_factor():
    disc = ((torch.linspace(-1, 1, 129)[None] ** 2 + torch.linspace(-1, 1, 129)[:, None] ** 2) < 0.09).float()
    got = augment_films(disc.expand(200, 1, 129, 129), replace(STILL, stretch=0.4), generator=make_draws())
    inside = got[:, 0] > 0.5
    width, height = inside.any(1).sum(1), inside.any(2).sum(1)
    log_aspect = torch.log(width / height)
    # Uniform on -0.4 to 0.4: mean 0 and standard deviation 0.8 / sqrt(12) = 0.231.
    assert log_aspect.abs().max() <= 0.4 + 0.06  # a pixel at each edge of 39
    assert log_aspect.mean().item() == pytest.approx(0, abs=0.05)
    assert log_aspect.std().item() == pytest.approx(0.231, abs=0.03)


def test_contrast_keeps_the_mean_and_brightness_moves_it(levels):
    contrast = augment_films(levels, replace(STILL, contrast=0.3), generator=make_draws())
    assert torch.allclose(contrast.mean((1, 2, 3)), levels.mean((1, 2, 3)), atol=1e-4)
    brightness = augment_films(levels, replace(STILL, brightness=0.1), generator=make_draws())
    shift = (brightness - levels).flatten(1)
    assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-5)
    assert shift.abs().max() <= 0.1 + 1e-6


def test_the_films_that_are_handed_over_stay_as_they_are(levels):
    before = levels.clone()
    augment_films(levels, Augmentation(equalise_prob=1.0, blur_prob=1.0), generator=make_draws())
    assert torch.equal(levels, before)


NUM_FILMS, SIZE = 400, 40


def find_painted(ranges: Augmentation) -> tuple[np.ndarray, np.ndarray]:
    """Where films are painted over, bool (N, S, S), and with what grey level, float (N,), NaN for nowhere.

    The same draws are made for dark and for bright films: what is painted is alike in both, and everywhere
    else they differ by 0.4.
    """
    dark, bright = (
        augment_films(torch.full((NUM_FILMS, 1, SIZE, SIZE), level), ranges, generator=make_draws())[:, 0]
        for level in (0.3, 0.7)
    )
    painted = (bright - dark).abs() < 1e-6
    assert torch.allclose(dark[~painted], torch.tensor(0.3), atol=1e-5)  # the rest is as it was
    films = [film[inside] for film, inside in zip(dark, painted, strict=True)]
    assert all(film.max() == film.min() for film in films if len(film))  # one level a film
    return painted.numpy(), np.array([film[0].item() if len(film) else np.nan for film in films])


@pytest.mark.parametrize("name", ["erase_prob", "corner_prob", "border_prob"])
def test_the_paint_is_drawn_from_the_whole_range_of_grey(name):
    levels = find_painted(replace(STILL, **{name: 1.0}))[1]
    # A uniform level has mean 1/2 and standard deviation 1 / sqrt(12) = 0.289; its mean over about 400 films
    # has 0.289 / sqrt(400) = 0.0145, and 4 of these are 0.058.
    assert np.nanmean(levels) == pytest.approx(0.5, abs=0.058)
    assert np.nanstd(levels) == pytest.approx(0.289, abs=0.03)


@pytest.mark.parametrize("name", ["corner_prob", "border_prob"])
@pytest.mark.parametrize("prob", [0.0, 0.5, 1.0])
def test_as_many_films_are_painted_as_the_probability_says(name, prob):
    share = find_painted(replace(STILL, **{name: prob}))[0].any((1, 2)).mean()
    # Four standard deviations of a share of 400: 4 sqrt(.25 / 400) = 0.1. A frame may be too thin to show.
    assert share == pytest.approx(prob, abs=0.1 if prob == 0.5 else 0.01)


def test_a_corner_is_a_rectangle_in_one_of_the_four_corners():
    painted, _ = find_painted(replace(STILL, corner_prob=1.0))
    rows, columns = painted.any(2), painted.any(1)
    assert np.array_equal(painted, rows[:, :, None] & columns[:, None, :])
    # 5 to 25 % of 40 pixels, rounded.
    assert set(rows.sum(1)) == set(columns.sum(1)) == set(range(2, 11))
    at_top, at_left = rows[:, 0], columns[:, 0]
    for sides, at_start in ((rows, at_top), (columns, at_left)):
        length = sides.sum(1)
        for side, count, start in zip(sides, length, at_start, strict=True):
            assert side[:count].all() if start else side[-count:].all()
    # Each corner has a share of 1/4; four standard deviations of it are 4 sqrt(3/16 / 400) = 0.087.
    for corner in (at_top & at_left, at_top & ~at_left, ~at_top & at_left, ~at_top & ~at_left):
        assert corner.mean() == pytest.approx(0.25, abs=0.087)


def test_a_border_is_a_frame_with_four_widths_of_up_to_a_tenth():
    painted, _ = find_painted(replace(STILL, border_prob=1.0))
    rows, columns = (~painted).any(2), (~painted).any(1)
    assert np.array_equal(~painted, rows[:, :, None] & columns[:, None, :])
    widths = np.stack(
        [rows.argmax(1), rows[:, ::-1].argmax(1), columns.argmax(1), columns[:, ::-1].argmax(1)], 1
    )
    assert np.array_equal(rows.sum(1), SIZE - widths[:, 0] - widths[:, 1])  # what is left is in one piece
    assert np.array_equal(columns.sum(1), SIZE - widths[:, 2] - widths[:, 3])
    # Each width is uniform on 0 to 4 of 40 pixels, rounded: mean 2, standard deviation about 4 / sqrt(12) or
    # 1.15, of the mean 1.15 / sqrt(400) = 0.058.
    assert widths.min() == 0 and widths.max() == 4
    assert widths.mean(0) == pytest.approx([2] * 4, abs=0.24)
    assert np.abs(np.corrcoef(widths.T) - np.eye(4)).max() < 0.2  # 4 / sqrt(400): the four are drawn apart


def test_equalisation_is_pillows():
    rng = np.random.default_rng(0)
    films = rng.normal(90, 20, (5, 48, 48)).clip(0, 255).astype(np.uint8)
    films[4] = 120  # one level alone stays where it is
    levels = torch.from_numpy(films).unsqueeze(1) / 255
    got = augment_films(levels, replace(STILL, equalise_prob=1.0), generator=make_draws())[:, 0] * 255
    for film, equalised in zip(films, got.numpy(), strict=True):
        expected = np.asarray(ImageOps.equalize(Image.fromarray(film)), dtype=float)
        assert np.abs(equalised - expected).max() < 0.05  # grey levels of 0 to 255; black is kept above 0
    assert np.abs(got.numpy()[:4] - films[:4]).mean() > 10


def test_as_many_films_are_equalised_as_the_probability_says():
    films = torch.linspace(0.4, 0.6, 32 * 32).view(1, 1, 32, 32).expand(NUM_FILMS, 1, 32, 32)
    for prob, tolerance in ((0.0, 0), (0.5, 0.1), (1.0, 0)):  # 4 sqrt(.25 / 400) = 0.1
        got = augment_films(films, replace(STILL, equalise_prob=prob), generator=make_draws())
        changed = (got - films).abs().amax((1, 2, 3)) > 0.1
        assert changed.float().mean().item() == pytest.approx(prob, abs=tolerance)


@pytest.mark.parametrize("name", ["corner_prob", "border_prob", "equalise_prob"])
def test_what_is_painted_or_equalised_follows_from_the_seed(name):
    films = torch.rand(64, 1, 32, 32, generator=make_draws(9)) / 2
    ranges = replace(STILL, **{name: 0.5})
    first = augment_films(films, ranges, generator=make_draws(1))
    assert torch.equal(first, augment_films(films, ranges, generator=make_draws(1)))
    assert not torch.equal(first, augment_films(films, ranges, generator=make_draws(2)))
