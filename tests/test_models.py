"""The registry: networks by name, their shapes and sizes."""

import pytest
import torch

from pneumo_utils.errors import UsageError
from pneumo_utils.models.registry import MODELS, build_model, count_parameters, require_model


@pytest.mark.parametrize("name", [*MODELS, "timm_resnet10t"])
@pytest.mark.parametrize("size", [32, 96])
def test_every_model_gives_one_logit_a_film_and_has_a_head(name, size):
    model = build_model(name)
    assert model(torch.zeros(3, 1, size, size)).shape == (3,)
    assert sum(p.numel() for p in model.head.parameters()) < count_parameters(model) / 100


def test_the_baseline_is_small():
    assert count_parameters(build_model("cnn_baseline")) <= 2_000_000


def test_the_parameters_are_counted():
    # A 3 x 3 convolution and the scale and shift of its normalisation, for each pair of neighbouring widths.
    pairs = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    pairs += [(128, 256), (256, 256)]
    expected = sum(9 * before * after + 2 * after for before, after in pairs) + 256 + 1
    assert count_parameters(build_model("cnn_baseline")) == expected


@pytest.mark.parametrize("name", [*MODELS, "timm_resnet10t"])
def test_the_dropout_is_the_one_that_is_asked_for(name):
    assert build_model(name, dropout=0.125).dropout.p == 0.125


def test_in_training_the_same_films_get_the_same_answer_only_without_dropout():
    torch.manual_seed(0)
    model, film = build_model("cnn_baseline", dropout=0.0), torch.rand(4, 1, 32, 32)
    assert torch.equal(model.train()(film), model(film))
    model.dropout.p = 0.5
    assert not torch.equal(model(film), model(film))


@pytest.mark.parametrize("ask", [build_model, require_model])
def test_an_unknown_model_is_named(ask):
    with pytest.raises(UsageError, match=r"'vgg'.*cnn_baseline.*timm_NAME"):
        ask("vgg")


@pytest.mark.parametrize("name", [*MODELS, "timm_resnet10t"])
def test_a_known_model_is_let_through(name):
    assert require_model(name) is None
