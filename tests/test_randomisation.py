"""Maps of trained and of untrained networks: alike where a map shows the film and not the model."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import nn

from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.saliency import compute_randomisation_check, compute_saliency, make_random_copy
from pneumo_utils.models.registry import Ensemble, build_model

GREY_LEVELS = EvalTransform(16, mean=0.0, std=1.0)


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


def make_films(num_films: int = 4, *, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_films, size, size), dtype=np.uint8)


def test_a_map_that_shows_the_film_and_not_the_model_has_a_correlation_of_one():
    check = compute_randomisation_check(Brightness(), make_films(), transform=GREY_LEVELS, num_draws=3)
    np.testing.assert_allclose(check.correlations, np.ones(4))
    assert check.median == pytest.approx(1) and check.draw_medians == pytest.approx(np.ones(3))


def test_the_correlation_is_spearmans_averaged_over_the_draws():
    torch.manual_seed(0)
    model, films, transform = build_model("cnn_baseline"), make_films(5, size=64), EvalTransform(128)
    check = compute_randomisation_check(model, films, transform=transform, num_draws=2, seed=7, batch_size=2)
    expected = np.full((2, 5), np.nan)
    trained = compute_saliency(model, films, transform=transform)
    for draw, seed in enumerate((7, 8)):
        drawn = compute_saliency(make_random_copy(model, seed=seed), films, transform=transform)
        for film in range(5):
            if np.ptp(trained[film]) and np.ptp(drawn[film]):  # Spearman's: Pearson's of the ranks
                ranks = rankdata(trained[film].ravel()), rankdata(drawn[film].ravel())
                expected[draw, film] = np.corrcoef(*ranks)[0, 1]
    assert np.isfinite(expected).any(0).all()
    np.testing.assert_allclose(check.correlations, np.nanmean(expected, 0), atol=2e-3)
    assert check.median == np.median(check.correlations)
    np.testing.assert_allclose(check.draw_medians, np.nanmedian(expected, 1), atol=2e-3)
    assert np.abs(check.correlations).max() < 0.999


def test_a_film_without_a_map_has_no_correlation_and_stays_out_of_the_median():
    films = make_films()
    films[1] = 0  # black: its map is zero
    check = compute_randomisation_check(Brightness(), films, transform=GREY_LEVELS)
    np.testing.assert_allclose(check.correlations, [1, np.nan, 1, 1])
    assert check.median == pytest.approx(1) and len(check.draw_medians) == 5


@pytest.mark.parametrize("films", [make_films(), make_films(0)])
def test_without_any_map_there_is_no_median(films):
    check = compute_randomisation_check(Brightness(-1.0), films, transform=GREY_LEVELS, num_draws=2)
    assert check.correlations.shape == (len(films),) and np.isnan(check.correlations).all()
    assert np.isnan(check.median) and np.isnan(check.draw_medians).tolist() == [True, True]


def test_a_map_of_a_single_cell_has_no_ranks():
    torch.manual_seed(0)
    model = build_model("cnn_baseline")
    model.head.weight.data.abs_()
    films = make_films(size=32)
    assert compute_saliency(model, films, transform=EvalTransform(32)).min() > 0.999
    check = compute_randomisation_check(model, films, transform=EvalTransform(32), num_draws=3)
    assert np.isnan(check.correlations).all()


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
    check = compute_randomisation_check(model, make_films(size=64), **settings)
    assert torch.equal(torch.rand(5), expected)
    for key in ("features.0.0.weight", "head.weight", "head.bias"):
        assert torch.equal(copies[0][key], copies[1][key]) and not torch.equal(copies[0][key], copies[2][key])
    again = compute_randomisation_check(model, make_films(size=64), **settings)
    np.testing.assert_array_equal(check.correlations, again.correlations)


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_switched_off_and_the_model_stays_as_it_was(switch):
    model = build_model("cnn_baseline").train().requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with switch():
        check = compute_randomisation_check(model, make_films(size=128), transform=EvalTransform(128))
    assert check.correlations.shape == (4,) and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_no_draw_at_all_is_refused():
    with pytest.raises(UsageError, match="num_draws is 0"):
        compute_randomisation_check(Brightness(), make_films(), transform=GREY_LEVELS, num_draws=0)
