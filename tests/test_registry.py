"""Networks by name, and several networks that answer as one."""

import numpy as np
import pytest
import torch
from conftest import make_checkpoint

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.checkpoint import load_checkpoint, save_checkpoint
from pneumo_utils.models.predict import predict_logits
from pneumo_utils.models.registry import MODELS, Ensemble, build_model, require_model


@pytest.mark.parametrize("name", [*MODELS, "timm_resnet10t"])
@pytest.mark.parametrize("size", [32, 96])
def test_every_model_gives_one_logit_a_film_and_has_a_head(name, size):
    model = build_model(name)
    assert model(torch.zeros(3, 1, size, size)).shape == (3,)
    assert sum(p.numel() for p in model.head.parameters()) < sum(p.numel() for p in model.parameters()) / 100


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


class Constant(torch.nn.Module):
    """Gives each film the same logit, once its mean is added."""

    def __init__(self, logit: float):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.tensor(logit))

    def forward(self, images):
        return self.logit + images.mean((1, 2, 3))


def make_ensemble(num_members: int = 3):
    """Checkpoints of single networks, and one of them all."""
    members = [make_checkpoint(seed=seed) for seed in range(num_members)]
    states = [(f"members.{i}.{name}", v) for i, m in enumerate(members) for name, v in m.state.items()]
    return members, make_checkpoint(state=dict(states), num_members=num_members)


def test_the_answer_is_the_mean_of_the_logits():
    films = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
    # (1 + 2 + 6) / 3 = 3, plus the film's own mean of 0 or 1.
    assert Ensemble([Constant(1.0), Constant(2.0), Constant(6.0)])(films).tolist() == [3.0, 4.0]


def test_a_checkpoint_of_several_networks_builds_their_ensemble():
    members, ensemble = make_ensemble()
    films = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    logits = [predict_logits(member.build_model(), films, transform=member.transform) for member in members]
    got = predict_logits(ensemble.build_model(), films, transform=ensemble.transform)
    assert got == pytest.approx(np.mean(logits, axis=0), abs=1e-6)
    assert np.std(logits, axis=0).min() > 1e-3  # the members differ, so the mean says something


def test_an_ensemble_has_a_name_of_its_own_under_which_it_is_kept(tmp_path):
    ensemble = make_ensemble()[1]
    assert ensemble.model_name == "cnn_baseline_ensemble"
    path = save_checkpoint(ensemble, tmp_path / "c.pth")
    assert load_checkpoint(path, model_name="cnn_baseline_ensemble").num_members == 3
    with pytest.raises(PneumoError, match="holds model cnn_baseline_ensemble; expected cnn_baseline"):
        load_checkpoint(path, model_name="cnn_baseline")


@pytest.mark.parametrize("num_members", [0, 2, 4])
def test_another_number_of_members_than_there_are_weights_for_is_refused(tmp_path, num_members):
    ensemble = make_ensemble()[1]
    path = save_checkpoint(make_checkpoint(state=ensemble.state, num_members=num_members), tmp_path / "c.pth")
    with pytest.raises(PneumoError, match="cannot be read as a checkpoint"):
        load_checkpoint(path)
