"""Recipes, history, the trainer and `fit`."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from pneumo_utils.config import TrainConfig
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.checkpoint import load_checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.models.registry import MODELS, build_model
from pneumo_utils.runtime import make_accelerator
from pneumo_utils.training import loop
from pneumo_utils.training.calibration import choose_threshold
from pneumo_utils.training.history import EpochRecord, load_history, save_history
from pneumo_utils.training.loop import RANDOM_WEIGHTS_SENTENCE, fit, prepare_model
from pneumo_utils.training.recipes import RECIPES, make_config
from pneumo_utils.training.stress import make_stress_films
from pneumo_utils.training.trainer import Trainer


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """The ImageNet weights are never fetched here."""
    monkeypatch.setattr(loop, "load_imagenet_state", lambda path: None if path is None else torch.load(path))


@pytest.fixture(scope="module")
def trained(phantoms, tiny_config, tmp_path_factory):
    train, val = phantoms
    path = tmp_path_factory.mktemp("trained") / "c.pth"
    said = []
    return fit(tiny_config, train, val=val, checkpoint_path=path, say=said.append), path, said


def test_every_model_has_a_recipe_under_its_name():
    assert set(RECIPES) == set(MODELS)
    assert all(name == recipe.model for name, recipe in RECIPES.items())


def test_a_recipe_is_changed_only_where_asked():
    assert make_config("cnn_baseline", lr=0.5, seed=None) == replace(RECIPES["cnn_baseline"], lr=0.5)
    with pytest.raises(UsageError, match="vgg"):
        make_config("vgg")


def test_history_is_kept_for_people_and_programs(tmp_path):
    record = EpochRecord(1, "all", 0.1, 0.7, 0.6, 0.8, 0.75, True, 3.0)
    save_history([record, replace(record, epoch=2)], tmp_path / "new" / "history")
    assert load_history(tmp_path / "new" / "history") == [record, replace(record, epoch=2)]
    with open(tmp_path / "new" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[0]["val_auroc"]) == 0.8
    assert json.loads((tmp_path / "new" / "history.json").read_text())[1]["epoch"] == 2


def test_fit_keeps_the_best_epoch_and_its_file(trained, tiny_config):
    result, path, said = trained
    best = max(result.history, key=lambda record: record.stress_auroc)
    assert len(result.history) == len(said) == tiny_config.num_epochs
    assert result.checkpoint.val_metrics["epoch"] == best.epoch
    loaded = load_checkpoint(path)
    assert loaded.threshold == result.checkpoint.threshold
    assert all(torch.equal(loaded.state[name], value) for name, value in result.checkpoint.state.items())


def test_the_recorded_figures_are_those_of_the_kept_weights(trained, phantoms):
    checkpoint = trained[0].checkpoint
    val = phantoms[1]
    logits = predict_logits(checkpoint.build_model(), val.images, transform=checkpoint.transform)
    assert checkpoint.val_metrics["auroc"] == pytest.approx(roc_auc_score(val.labels, logits))
    stressed = make_stress_films(val)
    stress_logits = predict_logits(checkpoint.build_model(), stressed.images, transform=checkpoint.transform)
    assert checkpoint.val_metrics["stress_auroc"] == pytest.approx(
        roc_auc_score(stressed.labels, stress_logits)
    )
    both = np.concatenate([logits, logits, logits, stress_logits])  # three stressed views of each film
    labels = np.concatenate([val.labels, val.labels, val.labels, stressed.labels])
    threshold = choose_threshold(labels, compute_probs(both, checkpoint.temperature))
    assert checkpoint.threshold == pytest.approx(threshold, abs=1e-6)


def test_the_checkpoint_says_what_it_was_trained_on(trained, phantoms, tiny_config):
    checkpoint = trained[0].checkpoint
    assert checkpoint.data_fingerprint == phantoms[0].fingerprint()
    assert checkpoint.source == "synthetic" and checkpoint.pretrained is False
    assert checkpoint.config == replace(tiny_config, strategy="full")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(phantoms, tiny_config):
    train, val = phantoms
    config = replace(tiny_config, num_epochs=1)
    first, again, other = (
        fit(replace(config, seed=seed), train, val=val, say=lambda text: None).checkpoint.state["head.weight"]
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_network_learns_what_can_be_learnt(tiny_config):
    """Films whose class is their left half's brightness, with the whole-film mean the same."""
    rng = np.random.default_rng(0)
    base = make_phantoms(160, image_size=32)
    images = rng.integers(90, 110, base.images.shape, dtype=np.uint8)
    half = np.where(base.labels == 1, 60, 0).astype(np.uint8)[:, None, None]
    images[:, :16] += half
    images[:, 16:] += 60 - half
    films = replace(base, images=images)
    train, val = films.select(np.arange(120)), films.select(np.arange(120, 160), split="val")
    config = replace(tiny_config, num_epochs=6, lr=3e-3)
    assert fit(config, train, val=val, say=lambda text: None).checkpoint.val_metrics["auroc"] > 0.95


def test_a_test_set_cannot_be_handed_over(phantoms, tiny_config):
    train, val = phantoms
    test = make_phantoms(20, image_size=32, split="test")
    for wrong in ((test, val), (train, test), (val, train)):
        with pytest.raises(ValueError, match="expected train and val"):
            fit(tiny_config, wrong[0], val=wrong[1])


def test_bad_requests_are_refused(phantoms, tiny_config):
    train, val = phantoms
    with pytest.raises(UsageError, match=r"batch_size is 500.*Lower --batch_size"):
        fit(replace(tiny_config, batch_size=500), train, val=val)
    with pytest.raises(PneumoError, match="none of class NORMAL"):
        fit(tiny_config, train.select(train.labels == 1), val=val)
    with pytest.raises(UsageError, match="no pretrained backbone"):
        fit(replace(tiny_config, strategy="frozen"), train, val=val)


def test_a_loss_that_explodes_stops_with_a_remedy(phantoms, tiny_config, tmp_path):
    train, val = phantoms
    with pytest.raises(PneumoError, match="Lower --lr"):
        fit(replace(tiny_config, lr=1e30), train, val=val, checkpoint_path=tmp_path / "c.pth", say=print)
    assert not list(tmp_path.glob("*.tmp"))


def test_training_stops_early(phantoms, tiny_config, monkeypatch):
    train, val = phantoms
    monkeypatch.setattr(Trainer, "train_epoch", lambda self, epoch, on_step: 0.5)  # nothing is learnt
    said = []
    config = replace(tiny_config, num_epochs=9, patience=2)
    result = fit(config, train, val=val, say=said.append)
    assert [record.is_best for record in result.history] == [True, False, False]
    assert "stops early" in said[-1]


def test_missing_imagenet_weights_are_said_and_recorded(phantoms, tiny_config):
    said = []
    config = replace(tiny_config, model="resnet_finetune")
    _, settled, pretrained = prepare_model(config, say=said.append)
    assert said == [RANDOM_WEIGHTS_SENTENCE]
    assert (settled.strategy, pretrained) == ("full", False)


def test_given_weights_start_two_stage_training(tmp_path, tiny_config):
    state = {name: v for name, v in build_model("resnet_finetune").backbone.state_dict().items()}
    state["conv1.weight"] = torch.randn(64, 3, 7, 7)
    torch.save(state, tmp_path / "w.pth")
    config = replace(tiny_config, model="resnet_finetune")
    model, settled, pretrained = prepare_model(config, weights_path=tmp_path / "w.pth", say=print)
    assert (settled.strategy, pretrained) == ("two_stage", True)
    assert torch.allclose(model.backbone.conv1.weight, state["conv1.weight"].sum(1, keepdim=True))


def make_trainer(strategy: str, train) -> Trainer:
    torch.manual_seed(0)
    config = TrainConfig(
        model="resnet_finetune", image_size=32, num_epochs=2, batch_size=32, strategy=strategy, lr=0.01
    )
    return Trainer(config, build_model("resnet_finetune"), train, accelerator=make_accelerator())


@pytest.mark.parametrize(
    ("strategy", "epoch", "backbone_moves"),
    [("frozen", 1, False), ("two_stage", 1, False), ("two_stage", 2, True), ("full", 1, True)],
)
def test_strategies_move_what_they_say(phantoms, strategy, epoch, backbone_moves):
    trainer = make_trainer(strategy, phantoms[0])
    before = {name: value.clone() for name, value in trainer.bare_model.state_dict().items()}
    trainer.train_epoch(epoch)
    moved = {name for name, v in trainer.bare_model.state_dict().items() if not torch.equal(v, before[name])}
    assert "head.weight" in moved
    assert any(name.startswith("backbone") for name in moved) is backbone_moves


def test_two_stage_gives_the_backbone_a_lower_rate(phantoms):
    trainer = make_trainer("two_stage", phantoms[0])
    backbone, head = (group["initial_lr"] for group in trainer.optimizer.param_groups)
    assert backbone / head == pytest.approx(trainer.config.backbone_lr_factor)


def test_class_weights_make_both_classes_count_the_same(phantoms):
    train = phantoms[0]
    weights = make_trainer("full", train).class_weights.numpy()
    assert weights[0] * (train.labels == 0).sum() == pytest.approx(weights[1] * (train.labels == 1).sum())
    assert (weights[train.labels]).mean() == pytest.approx(1)


def test_stress_films_are_changed_copies_and_always_the_same(phantoms):
    val = phantoms[1]
    before = val.fingerprint()
    stressed = make_stress_films(val, num_views=2)
    assert list(stressed.names) == [*val.names, *val.names] and stressed.split == "val"
    assert val.fingerprint() == before
    assert stressed.fingerprint() == make_stress_films(val, num_views=2).fingerprint()
    first, second = np.split(stressed.images, 2)
    assert (first != second).mean() > 0.5 and (first != val.images).mean() > 0.5


def test_stress_films_are_changed_alike_at_any_size(tiny_config):
    """The same films at twice the size, halved again, differ from the small ones by resampling and grain."""
    small = make_phantoms(40, image_size=64, split="val")
    large = replace(small, images=small.images.repeat(2, axis=1).repeat(2, axis=2))
    stressed = make_stress_films(small, num_views=1).images.astype(float)
    halved = make_stress_films(large, num_views=1).images.astype(float).reshape(40, 64, 2, 64, 2).mean((2, 4))
    other = np.roll(halved, 1, axis=0)
    assert np.abs(stressed - halved).mean() < 0.25 * np.abs(stressed - other).mean()
