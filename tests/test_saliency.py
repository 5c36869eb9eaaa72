"""Grad-CAM, its sanity check and covered lungs: by hand, by another way, and the model as it was."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import nn

from pneumo_utils.config import EvalTransform
from pneumo_utils.data.augmentation import CENTRE, HALF_AXES, make_lung_mask
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.metrics import compute_interval, draw_patient_weights
from pneumo_utils.evaluation.saliency import (
    COVER_GREY,
    compute_coverage,
    compute_even_share,
    compute_lung_share,
    compute_randomisation_check,
    compute_saliency,
    make_random_copy,
)
from pneumo_utils.models.registry import Ensemble, build_model


def test_two_whole_ellipses_side_by_side():
    mask = make_lung_mask(500)
    assert mask.shape == (500, 500) and mask.dtype == bool
    # Neither is cut off nor do they overlap, so the share is twice pi times both half axes.
    assert mask.mean() == pytest.approx(2 * math.pi * HALF_AXES[0] * HALF_AXES[1], abs=0.001)
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    rows, columns = np.nonzero(mask[:, :250])
    assert (columns.mean() / 500, rows.mean() / 500) == pytest.approx(CENTRE, abs=0.002)


def test_the_tops_lean_towards_the_spine():
    left = make_lung_mask(200)[:, :100]
    top, bottom = np.nonzero(left[40])[0].mean(), np.nonzero(left[160])[0].mean()
    # 120 rows at a lean of 12 degrees: about 120 * tan(12°) = 25.5 columns along the long axis.
    assert 15 < top - bottom < 30


def test_corners_and_spine_stay_uncovered():
    mask = make_lung_mask(100)
    assert not mask[:, 49:51].any() and not mask[:9].any() and not mask[-11:].any()


def test_the_mask_means_the_same_at_any_size():
    coarse, fine = make_lung_mask(32), make_lung_mask(256)
    # Each coarse pixel is the middle of 8 x 8 fine ones: they may differ along the outline only.
    shares = fine.reshape(32, 8, 32, 8).mean((1, 3))
    assert (shares[coarse] > 0.3).all() and (shares[~coarse] < 0.7).all()


NAMES = ("cnn_baseline", "resnet_finetune", "efficientnet_lite0_finetune", "timm_resnet10t")
GREY_LEVELS = EvalTransform(16, mean=0.0, std=1.0)
"""0 to 1, as they are."""


class OneConvolution(nn.Module):
    """Two feature maps, a times and b times the grey level cut off at zero; the logit is c . their means.

    Args:
        weights: (a, b).
        head: (c of the first map, c of the second).
        part: Rows and columns of the film that it looks at; the rest is blanked.
    """

    def __init__(self, weights=(1.0, -1.0), head=(1.0, 0.0), part=(slice(None), slice(None))):
        super().__init__()
        self.part = part
        self.features = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
        self.features[0].weight.data = torch.tensor(weights).view(2, 1, 1, 1)
        self.features[0].bias.data.zero_()
        self.head = nn.Linear(2, 1)
        self.head.weight.data = torch.tensor([head])

    def forward(self, images):
        seen = torch.zeros_like(images)
        seen[..., *self.part] = images[..., *self.part]
        return self.head(self.features(seen).mean((2, 3))).squeeze(1)


def make_films(num_films: int = 3, *, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_films, size, size), dtype=np.uint8)


def make_model(name: str, *, seed: int = 0) -> nn.Module:
    """Random weights, those of the head above 0: wherever the last map is not 0, it speaks for pneumonia."""
    torch.manual_seed(seed)
    model = build_model(name)
    model.head.weight.data.abs_()
    return model


def test_grad_cam_of_one_convolution_by_hand():
    # Grey levels g of 0.2, 0.4 and 0.8 in strips. The maps are 3 g and 1 g, the logit is the mean of
    # 2 * 3 g - 4 * g over 256 pixels: both gradients are even, 2 / 256 and -4 / 256, so that Grad-CAM is
    # 2 g / 256. Scaled to a maximum of 1: g / 0.8.
    film = np.zeros((1, 16, 16), np.uint8)
    film[0, :, :5], film[0, :, 5:9], film[0, :, 9:] = 51, 102, 204
    saliency = compute_saliency(OneConvolution((3.0, 1.0), (2.0, -4.0)), film, transform=GREY_LEVELS)
    assert saliency.dtype == np.float32 and saliency.shape == film.shape
    np.testing.assert_allclose(saliency, film / 204, atol=1e-6)


def test_what_speaks_against_pneumonia_is_left_out():
    # Now 2 * 3 g - 7 * g = -g: nothing speaks for pneumonia, and the map is zero, not a number divided by 0.
    films = make_films(2, size=16)
    saliency = compute_saliency(OneConvolution((3.0, 1.0), (2.0, -7.0)), films, transform=GREY_LEVELS)
    assert saliency.shape == (2, 16, 16) and not saliency.any()
    # With maps of g and of 0.5 - g cut off at zero and a logit of the mean of their difference, grey levels
    # of 0.2, 0.4 and 0.8 add -0.1, 0.3 and 0.8: the first is cut off as well.
    film = np.zeros((1, 16, 16), np.uint8)
    film[0, :, :5], film[0, :, 5:9], film[0, :, 9:] = 51, 102, 204
    model = OneConvolution((1.0, -1.0), (1.0, -1.0))
    model.features[0].bias.data[1] = 0.5
    saliency = compute_saliency(model, film, transform=GREY_LEVELS)[0]
    np.testing.assert_allclose(saliency[0, [0, 5, 15]], [0, 0.375, 1], atol=1e-6)


def test_the_map_lies_where_the_network_looks():
    quadrant = (slice(8), slice(8, None))
    films = make_films(2, size=16)
    saliency = compute_saliency(OneConvolution(part=quadrant), films, transform=GREY_LEVELS)
    assert saliency[:, *quadrant].max((1, 2)).tolist() == [1, 1]
    saliency[:, *quadrant] = 0
    assert not saliency.any()


def test_the_film_is_resized_for_the_model_and_the_map_back():
    film = np.zeros((1, 64, 64), np.uint8)
    film[0, 48:, :16] = 255  # 4 x 4 of the 16 x 16 pixels that the model gets
    saliency = compute_saliency(OneConvolution(), film, transform=GREY_LEVELS)[0]
    assert saliency.shape == (64, 64) and saliency.max() == 1
    assert (saliency[56:, :8] > 0.9).all() and not saliency[:40].any() and not saliency[:, 24:].any()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_each_cell_of_the_last_map_adds_to_the_logit(name):
    # Zhou et al.'s class activation map: the head's weights on the last map before it is averaged, without
    # any gradient. The map is caught where each network hands it over to its mean.
    model, transform = make_model(name).eval(), EvalTransform(96)
    pools = {"cnn_baseline": "pool", "resnet_finetune": "backbone.avgpool"}
    pool = model.get_submodule(pools.get(name, "backbone.global_pool"))
    films, caught = make_films(), []
    hook = pool.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        logits = model(transform(torch.from_numpy(films)))
    hook.remove()
    parts = torch.einsum("bchw,oc->bhw", caught[0], model.head.weight.detach())
    assert parts.shape == (3, 3, 3)  # of 96 pixels, 32 a cell
    torch.testing.assert_close(parts.mean((1, 2)) + model.head.bias, logits)
    cells = F.relu(parts)
    assert (cells.amax((1, 2)) > 0).all()
    expected = F.interpolate(cells[:, None], (64, 64), mode="bilinear")[:, 0]
    expected /= expected.amax((1, 2), keepdim=True)
    saliency = compute_saliency(model, films, transform=transform)
    np.testing.assert_allclose(saliency, expected.numpy(), atol=1e-4)


def test_a_map_of_one_cell_is_even():
    saliency = compute_saliency(make_model("cnn_baseline"), make_films(), transform=EvalTransform(32))
    np.testing.assert_allclose(saliency, 1, atol=1e-6)


def read_state(model: nn.Module) -> dict:
    """All that must not change."""
    modules = list(model.modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modes": [module.training for module in modules],
        "hooks": [len(getattr(module, name)) for module in modules for name in hooks],
        "flags": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "identities": [id(value) for value in model.state_dict(keep_vars=True).values()],
        "values": [value.sum().item() for value in model.state_dict().values()],
    }


@pytest.mark.parametrize(("name", "is_frozen"), [("cnn_baseline", False), *((name, True) for name in NAMES)])
def test_the_model_stays_as_it_was_frozen_or_not(name, is_frozen):
    model, films = make_model(name), make_films()
    expected = compute_saliency(model.eval(), films, transform=EvalTransform(64))
    model.train().requires_grad_(not is_frozen)
    next(model.children()).eval()  # a mixture of modes, as in the first stage of a training
    before = read_state(model)
    saliency = compute_saliency(model, films, transform=EvalTransform(64))
    assert read_state(model) == before
    np.testing.assert_array_equal(saliency, expected)  # and batch norm was in evaluation mode all the same


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_switched_off_by_the_caller(switch):
    model, films = make_model("resnet_finetune"), make_films()
    expected = compute_saliency(model, films, transform=EvalTransform(64))
    with switch():
        made_here = copy.deepcopy(model)  # its weights cannot take part in any gradient
        assert torch.is_inference_mode_enabled() == (switch is torch.inference_mode)
        for one in (model, made_here):
            np.testing.assert_array_equal(compute_saliency(one, films, transform=EvalTransform(64)), expected)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled() and expected.any()


def test_an_ensemble_has_the_mean_of_its_members_scaled_maps():
    members = [make_model("cnn_baseline", seed=seed) for seed in range(3)]
    members[1].features[-1][1].weight.data *= 100  # larger maps, which must not drown the others
    films = make_films(size=96)
    maps = [compute_saliency(member, films, transform=EvalTransform(96)) for member in members]
    mean = np.mean(maps, 0)
    ensemble = Ensemble(members)
    before = read_state(ensemble)
    saliency = compute_saliency(ensemble, films, transform=EvalTransform(96))
    np.testing.assert_allclose(saliency, mean / mean.max((1, 2), keepdims=True), atol=1e-6)
    assert read_state(ensemble) == before
    assert not np.allclose(saliency, maps[1], atol=0.05)


def test_with_the_mirror_image_the_map_is_the_mean_of_both():
    left = OneConvolution(part=(slice(None), slice(8)))
    film = np.full((1, 16, 16), 100, np.uint8)
    film[0, :, 8:] = 200
    # As it is, the left half of 100 is seen: 1 at the left. Mirrored, the 200 are at the left and are seen:
    # 1 at the right once it is mirrored back. Each map is scaled, so the mean is even.
    assert (compute_saliency(left, film, transform=GREY_LEVELS, flip_average=True) == 1).all()
    assert not compute_saliency(left, film, transform=GREY_LEVELS)[0, :, 8:].any()


def test_the_batch_size_has_no_effect():
    films, model = make_films(5), make_model("cnn_baseline")
    expected = compute_saliency(model, films, transform=EvalTransform(64))
    for batch_size in (1, 2, 5):
        got = compute_saliency(model, films, transform=EvalTransform(64), batch_size=batch_size)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_no_film_gives_no_map():
    empty = compute_saliency(OneConvolution(), np.zeros((0, 20, 24), np.uint8), transform=GREY_LEVELS)
    assert empty.shape == (0, 20, 24) and compute_lung_share(empty[:, :, :20]).shape == (0,)


@pytest.mark.parametrize("films", [np.zeros((2, 16, 16), np.float32), np.zeros((16, 16), np.uint8)])
def test_other_films_are_refused(films):
    with pytest.raises(ValueError, match=r"expected uint8 \(N, H, W\)"):
        compute_saliency(OneConvolution(), films, transform=GREY_LEVELS)


class Bare(nn.Module):
    """A network that the registry does not know."""

    def __init__(self, **parts):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, images):
        return self.weight * self.features(images).flatten(1).mean(1)


def test_the_last_map_is_the_last_one_with_an_extent():
    # After its pool the second 1 x 1 convolution has an output of 1 x 1: only the first tells a place.
    parts = nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1, bias=False)
    model = Bare(features=nn.Sequential(*parts), blocks=nn.ModuleList(parts))
    for part in parts[::2]:
        part.weight.data.fill_(2.0)
    film = np.zeros((1, 16, 16), np.uint8)
    film[0, 3, 5], film[0, 9, 9] = 200, 100
    saliency = compute_saliency(model, film, transform=GREY_LEVELS)
    np.testing.assert_allclose(saliency, film / 200, atol=1e-6)


def test_a_network_without_maps_is_refused():
    with pytest.raises(UsageError, match="Bare has no maps"):
        compute_saliency(Bare(features=nn.Flatten()), make_films(size=16), transform=GREY_LEVELS)


def test_the_lung_share_by_hand():
    lungs = make_lung_mask(40)
    inside, outside = lungs / lungs.sum(), ~lungs / (~lungs).sum()  # a sum of 1 each
    maps = np.stack([np.ones((40, 40)), inside, outside, 0.25 * inside + 0.75 * outside, 0 * inside])
    share = compute_lung_share(maps.astype(np.float32))
    np.testing.assert_allclose(share, [lungs.mean(), 1, 0, 0.25, np.nan], rtol=1e-6)
    assert share[0] == compute_even_share(40) == pytest.approx(0.45, abs=0.01)


def test_the_limits_of_coarse_cells_are_those_that_the_docstring_names():
    mask = make_lung_mask(128)
    for cells, low, high in ((4, 0.12, 0.87), (2, mask.mean() - 0.02, mask.mean() + 0.02)):
        one_hot = torch.eye(cells**2).view(-1, 1, cells, cells)
        share = compute_lung_share(F.interpolate(one_hot, (128, 128), mode="bilinear")[:, 0].numpy())
        assert low - 0.005 < share.min() and share.max() < high + 0.005


class Brightness(nn.Module):
    """Its map is the film itself, whatever its weights: the logit is the mean grey level, or minus that."""

    def __init__(self, sign: float = 1.0):
        super().__init__()
        self.features = nn.Identity()
        self.sign = sign
        self.head = nn.Linear(3, 1)

    def forward(self, images):
        return self.sign * self.features(images).mean((1, 2, 3)) + 0 * self.head.weight.sum()


class Gated(nn.Module):
    """A layer, and a parameter that belongs to no layer."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.gate = nn.Parameter(torch.arange(40.0).view(8, 5))

    def forward(self, images):
        return self.gate.mean() * self.features(images).mean((1, 2, 3))


def test_a_map_that_shows_the_film_and_not_the_model_has_a_correlation_of_one():
    check = compute_randomisation_check(
        Brightness(), make_films(4, size=16), transform=GREY_LEVELS, num_draws=3
    )
    np.testing.assert_allclose(check, np.ones((3, 4)))


def test_the_correlation_is_spearmans():
    torch.manual_seed(0)
    model, films, transform = build_model("cnn_baseline"), make_films(5, size=64), EvalTransform(128)
    check = compute_randomisation_check(model, films, transform=transform, num_draws=2, batch_size=2)
    expected = np.full((2, 5), np.nan)
    trained = compute_saliency(model, films, transform=transform)
    for draw in range(2):
        drawn = compute_saliency(make_random_copy(model, seed=draw), films, transform=transform)
        for film in range(5):
            if np.ptp(trained[film]) and np.ptp(drawn[film]):  # Spearman's: Pearson's of the ranks
                ranks = rankdata(trained[film].ravel()), rankdata(drawn[film].ravel())
                expected[draw, film] = np.corrcoef(*ranks)[0, 1]
    assert np.isfinite(expected).any(0).all()
    np.testing.assert_allclose(check, expected, atol=2e-3)
    assert np.abs(check.mean()).max() < 0.999


def test_a_film_without_a_map_has_no_correlation_and_stays_out_of_the_median():
    films = make_films(4, size=16)
    films[1] = 0  # black: its map is zero
    check = compute_randomisation_check(Brightness(), films, transform=GREY_LEVELS)
    np.testing.assert_allclose(check, [[1, np.nan, 1, 1]] * 5)
    assert check.mean().median() == pytest.approx(1)


@pytest.mark.parametrize("films", [make_films(4, size=16), make_films(0, size=16)])
def test_without_any_map_there_is_no_median(films):
    check = compute_randomisation_check(Brightness(-1.0), films, transform=GREY_LEVELS, num_draws=2)
    assert check.shape == (2, len(films)) and np.isnan(check.mean().median())
    assert np.isnan(check.median(axis=1)).tolist() == [True, True]


def test_a_map_of_a_single_cell_has_no_ranks():
    torch.manual_seed(0)
    model = build_model("cnn_baseline")
    model.head.weight.data.abs_()
    films = make_films(4, size=32)
    assert compute_saliency(model, films, transform=EvalTransform(32)).min() > 0.999
    check = compute_randomisation_check(model, films, transform=EvalTransform(32), num_draws=3)
    assert np.isnan(check).all(axis=None)


@pytest.mark.parametrize("name", ["cnn_baseline", "resnet_finetune", "efficientnet_lite0_finetune"])
def test_all_weights_are_drawn_anew_and_the_statistics_forgotten(name):
    model = build_model(name)
    for value in model.state_dict().values():
        value.fill_(3)
    drawn = make_random_copy(Ensemble([model, model]), seed=0).members[1]
    untrained = dict.fromkeys(("running_mean", "num_batches_tracked"), 0) | {"running_var": 1}
    for key, value in drawn.state_dict().items():
        assert not (value == 3).any(), key
        kind = key.rsplit(".", 1)[1]
        if kind in untrained:
            assert (value == untrained[kind]).all(), key
    assert all((value == 3).all() for value in model.state_dict().values())


def test_a_parameter_of_no_layer_is_shuffled():
    model = Gated()
    drawn = make_random_copy(model, seed=0)
    assert drawn.gate.shape == (8, 5) and drawn.gate.flatten().sort().values.tolist() == list(range(40))
    assert not torch.equal(drawn.gate, model.gate) and torch.equal(model.gate.flatten(), torch.arange(40.0))


def test_the_seed_decides_and_the_callers_random_numbers_go_on():
    model = build_model("cnn_baseline")
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    copies = [make_random_copy(model, seed=seed).state_dict() for seed in (0, 0, 1)]
    settings = {"transform": EvalTransform(64), "num_draws": 2}
    check = compute_randomisation_check(model, make_films(4, size=64), **settings)
    assert torch.equal(torch.rand(5), expected)
    for key in ("features.0.0.weight", "head.weight", "head.bias"):
        assert torch.equal(copies[0][key], copies[1][key]) and not torch.equal(copies[0][key], copies[2][key])
    again = compute_randomisation_check(model, make_films(4, size=64), **settings)
    np.testing.assert_array_equal(check, again)


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_switched_off_and_the_model_stays_as_it_was(switch):
    model = build_model("cnn_baseline").train().requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with switch():
        check = compute_randomisation_check(model, make_films(4, size=128), transform=EvalTransform(128))
    assert check.shape == (5, 4) and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


LUNGS = make_lung_mask(32)


def make_levels(levels, *, inside: bool) -> np.ndarray:
    """Films of 32 px, of one grey level each inside the lungs, or outside; noise of one kind elsewhere."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    films = np.tile(noise, (len(levels), 1, 1))
    films[:, inside == LUNGS] = np.array(levels, np.uint8)[:, None]
    return films


def make_split(images: np.ndarray, labels, patients=None) -> XrayDataset:
    names = np.array([f"film{i}" for i in range(len(images))])
    patients = names if patients is None else np.array(patients)
    return XrayDataset(images, np.array(labels), patients, names, names, "synthetic", "val")


def predict_brightness(films: XrayDataset) -> np.ndarray:
    return films.images.mean((1, 2)) / 255


def cover_films(films: np.ndarray) -> list[np.ndarray]:
    """What a model is shown: the films as they are, with the lungs covered, with all else covered."""
    seen = []

    def predict(covered):
        seen.append(covered.images)
        return np.full(len(films), 0.5)

    compute_coverage(predict, make_split(films, np.arange(len(films)) % 2))
    return seen


def test_the_two_covers_share_the_film_between_them():
    films = np.random.default_rng(1).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    before = films.copy()
    whole, lungs, rest, *_ = cover_films(films)
    np.testing.assert_array_equal(whole, films)
    assert lungs.dtype == rest.dtype == np.uint8
    assert (lungs[:, LUNGS] == COVER_GREY).all() and (rest[:, ~LUNGS] == COVER_GREY).all()
    np.testing.assert_array_equal(lungs[:, ~LUNGS], films[:, ~LUNGS])
    np.testing.assert_array_equal(rest[:, LUNGS], films[:, LUNGS])
    np.testing.assert_array_equal(films, before)


def test_swapped_parts_are_those_of_a_film_of_the_other_class():
    films = np.random.default_rng(1).integers(0, 256, (2, 32, 32), dtype=np.uint8)  # one of each class
    *_, lungs, rest = cover_films(films)
    np.testing.assert_array_equal(lungs, np.where(LUNGS, films[::-1], films))
    np.testing.assert_array_equal(rest, np.where(LUNGS, films, films[::-1]))


def test_lungs_of_the_other_class_turn_the_order_of_a_model_that_reads_them_round():
    films = make_split(make_levels([10, 20, 30, 60], inside=True), LABELS)
    coverage = compute_coverage(predict_brightness, films)
    assert (coverage["whole"], coverage["lungs_swapped"], coverage["rest_swapped"]) == (1, 0, 1)


def test_the_cover_says_nothing_of_what_lies_under_it():
    # Films that differ under the cover only are the same film once it is on.
    for inside, covered in ((True, 1), (False, 2)):
        films = make_levels([0, 90, 255], inside=inside)
        assert len(np.unique(films, axis=0)) == 3
        assert len(np.unique(cover_films(films)[covered], axis=0)) == 1


def test_to_the_networks_the_cover_is_about_zero():
    film = torch.full((1, 8, 8), COVER_GREY, dtype=torch.uint8)
    # One grey level is 1 / 255 / 0.226 = 0.017 of the network's input; rounding costs half of that at most.
    assert EvalTransform(8)(film).abs().max() < 0.0087


# Levels 10 and 40 for normal, 30 and 60 for pneumonia: of four pairs only (40, 30) is ranked wrongly: 3 / 4.
LEVELS, LABELS = [10, 40, 30, 60], [0, 0, 1, 1]


PLACES = [(True, "lungs_covered", "rest_covered"), (False, "rest_covered", "lungs_covered")]


@pytest.mark.parametrize(("inside", "covered", "free"), PLACES)
def test_a_brightness_that_lies_in_one_place_is_lost_with_it(inside, covered, free):
    coverage = compute_coverage(predict_brightness, make_split(make_levels(LEVELS, inside=inside), LABELS))
    assert coverage["whole"] == coverage[free] == 0.75
    assert coverage[covered] == 0.5  # all films the same: nothing but ties


def test_all_that_is_known_of_the_films_is_handed_on():
    films, seen = make_split(make_levels(LEVELS, inside=True), LABELS), []

    def predict(covered):
        seen.append(covered.images)
        assert replace(covered, images=films.images).fingerprint() == films.fingerprint()
        covered.images[:] = 0  # a careless model must not reach the films
        return np.full(4, 0.5)

    before = films.images.copy()
    compute_coverage(predict, films)
    assert len(seen) == 5 and np.array_equal(films.images, before)


def test_the_intervals_are_those_of_a_bootstrap_by_patient():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 20)
    levels = rng.integers(40, 160, 40) + 40 * labels
    patients = [f"p{i // 2}" for i in range(40)]  # two films each
    films = make_split(make_levels(levels, inside=True), labels, patients)
    coverage = compute_coverage(predict_brightness, films)
    normal, ill = levels[:20], levels[20:]
    wins = (ill[:, None] > normal) + 0.5 * (ill[:, None] == normal)  # of each pair
    assert coverage["whole"] == pytest.approx(wins.mean())
    draws = []
    for weights in draw_patient_weights(films.patients):
        pairs = weights[20:, None] * weights[:20]
        draws.append((wins * pairs).sum() / pairs.sum())
    expected = compute_interval(np.array(draws))
    assert coverage["intervals"]["whole"] == pytest.approx(expected)
    assert coverage["intervals"]["rest_covered"] == pytest.approx(expected)
    assert coverage["intervals"]["lungs_covered"] == (0.5, 0.5)


@pytest.mark.parametrize("label", [0, 1])
def test_without_both_classes_there_is_no_figure(label):
    films = make_split(make_levels(LEVELS, inside=True), [label] * 4)
    coverage = compute_coverage(predict_brightness, films)
    names = ("whole", "lungs_covered", "rest_covered", "lungs_swapped", "rest_swapped")
    assert coverage == dict.fromkeys(names) | {"intervals": dict.fromkeys(names, (None, None))}


def test_films_of_one_patient_have_figures_and_no_intervals():
    films = make_split(make_levels(LEVELS, inside=True), LABELS, ["p"] * 4)
    coverage = compute_coverage(predict_brightness, films)
    assert coverage["whole"] == 0.75 and set(coverage["intervals"].values()) == {(None, None)}


def test_what_is_no_probability_is_refused():
    films = make_split(make_levels(LEVELS, inside=True), LABELS)
    with pytest.raises(PneumoError, match="outside 0 to 1"):
        compute_coverage(lambda films: np.array([0.1, 0.2, 0.3, 4.0]), films)
