"""The evaluation transform and the random changes, against plain arithmetic and other libraries."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pneumo_utils.config import Augmentation
from pneumo_utils.data.transforms import EvalTransform, augment_films

STILL = Augmentation(**{name: 0.0 for name in Augmentation.__dataclass_fields__})


@pytest.fixture
def levels():
    """Eight smooth films in 0 to 1, brighter to the right."""
    x = torch.linspace(0.2, 0.8, 33)
    return x.expand(8, 1, 33, 33).clone()


def make_draws(seed=0):
    return torch.Generator().manual_seed(seed)


def test_evaluation_scales_and_normalises():
    images = torch.tensor([[[0, 255], [51, 102]]], dtype=torch.uint8)
    got = EvalTransform(image_size=2, mean=0.5, std=0.25)(images)
    # (0 - .5) / .25, (1 - .5) / .25, (.2 - .5) / .25, (.4 - .5) / .25
    assert torch.allclose(got, torch.tensor([[[[-2.0, 2.0], [-1.2, -0.4]]]]))


def test_evaluation_resizes_as_pillow_does():
    film = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    got = EvalTransform(image_size=32).to_grey_levels(torch.from_numpy(film)[None])[0, 0].numpy() * 255
    expected = np.asarray(Image.fromarray(film).resize((32, 32), Image.Resampling.BILINEAR), dtype=float)
    assert np.abs(got - expected).max() <= 1.0  # Pillow rounds to whole levels


def test_ranges_of_zero_change_nothing(levels):
    assert torch.allclose(augment_films(levels, STILL, generator=make_draws()), levels, atol=1e-5)


def test_the_same_seed_gives_the_same_films_and_another_seed_others(levels):
    first = augment_films(levels, Augmentation(), generator=make_draws(1))
    assert torch.equal(first, augment_films(levels, Augmentation(), generator=make_draws(1)))
    assert not torch.equal(first, augment_films(levels, Augmentation(), generator=make_draws(2)))


def test_each_film_has_a_draw_of_its_own(levels):
    got = augment_films(levels, Augmentation(), generator=make_draws())
    assert all(not torch.equal(got[i], got[j]) for i in range(8) for j in range(i))


@pytest.mark.parametrize("name", list(Augmentation.__dataclass_fields__))
def test_every_setting_has_an_effect_and_stays_in_range(levels, name):
    ranges = replace(STILL, **{name: 1.0})
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
