"""The head's stage on features that are kept: against the stage that passes each film in each epoch."""

import numpy as np
import pytest
import torch
from conftest import STILL
from test_trainer import make_trainer

from pneumo_utils.training.trainer import FrozenFeatures


def make_pair(train, **changes):
    """A trainer, and one that passes every film through the backbone in every epoch."""
    settings = {"strategy": "frozen", "num_epochs": 4, "dropout": 0.3} | changes
    ours, naive = (make_trainer(train, **settings) for _ in range(2))
    naive.frozen = None
    return ours, naive


def run(trainer, val, *, num_epochs: int) -> list[np.ndarray]:
    """Logits of the validation films after each epoch; head dropout draws from a seed of its own."""
    torch.manual_seed(1)
    logits = []
    for epoch in range(1, num_epochs + 1):
        trainer.train_epoch(epoch)
        logits.append(trainer.predict(val.images))
    return logits


def count_passes(trainer) -> list[int]:
    """Films of each pass through the backbone that learns."""
    passes = []
    trainer.bare_model.backbone.register_forward_pre_hook(lambda model, args: passes.append(len(args[0])))
    return passes


@pytest.mark.long
def test_in_the_first_epoch_all_is_as_without_the_table(phantoms):
    train, val = phantoms
    ours, naive = make_pair(train, num_epochs=1)
    (got,), (expected,) = (run(trainer, val, num_epochs=1) for trainer in (ours, naive))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    for name, value in naive.get_state().items():
        torch.testing.assert_close(ours.get_state()[name], value, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.long
def test_each_film_passes_once(phantoms):
    train, val = phantoms
    ours, _ = make_pair(train, num_epochs=40)
    passes = count_passes(ours)
    run(ours, val, num_epochs=40)
    # An epoch leaves out the films of the last, smaller batch, others each time: in the end all have passed.
    assert sum(passes) == len(train)
    assert sum(passes[: ours.steps_per_epoch]) == 32 * ours.steps_per_epoch


def test_no_double_is_made_on_the_device_as_a_macs_gpu_has_none(phantoms, monkeypatch):
    train, val = phantoms
    ours, naive = make_pair(train)
    home, cat, double = torch.Tensor.cpu, torch.cat, torch.Tensor.double

    def mark(tensor, is_home=True):
        tensor.is_home = is_home
        return tensor

    def widen(tensor):
        assert getattr(tensor, "is_home", False), "made where the tensor is"
        return double(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: mark(home(tensor).clone()))
    monkeypatch.setattr(
        torch, "cat", lambda parts, *rest: mark(cat(parts, *rest), all(hasattr(p, "is_home") for p in parts))
    )
    monkeypatch.setattr(torch.Tensor, "double", widen)
    for trainer in (ours, naive):
        assert trainer.predict(val.images).dtype == np.float64
    with pytest.raises(AssertionError, match="made where the tensor is"):
        torch.ones(1).double()


def test_predictions_are_of_the_present_head_and_pass_once(phantoms):
    train, val = phantoms
    ours, _ = make_pair(train)
    passes = []
    ours.averaged.module.backbone.register_forward_pre_hook(lambda model, args: passes.append(len(args[0])))
    first, second = run(ours, val, num_epochs=2)
    assert sum(passes) == len(val) and not np.allclose(first, second)
    ours.train_epoch(3)
    other = ours.predict(val.images.copy())  # another array: not known, though the films are the same
    assert sum(passes) == 2 * len(val)
    np.testing.assert_array_equal(other, ours.predict(val.images))


def test_after_the_stage_the_table_is_gone_and_the_backbone_learns(phantoms):
    train, val = phantoms
    ours, _ = make_pair(train, strategy="two_stage", head_epochs=2, unfreeze_epochs=1)
    passes = count_passes(ours)
    run(ours, val, num_epochs=2)
    assert ours.frozen is not None
    done = len(passes)
    run_on = ours.train_epoch(3)
    assert ours.frozen is None and np.isfinite(run_on)
    assert sum(passes[done:]) == 32 * ours.steps_per_epoch


@pytest.mark.parametrize(
    ("model", "changes"),
    [("cnn_baseline", {"strategy": "full"}), ("resnet_finetune", {"mixup": 0.2, "strategy": "frozen"})],
)
def test_no_table_where_films_are_blended_or_nothing_is_frozen(phantoms, model, changes):
    trainer = make_trainer(phantoms[0], model=model, **changes)
    trainer.train_epoch(1)
    assert trainer.frozen is None


def test_the_table_gives_each_film_its_own_features_in_any_order(phantoms):
    train, _ = phantoms
    trainer = make_trainer(train, strategy="frozen", augmentation=STILL)
    trainer.open_blocks(0)
    table = FrozenFeatures(len(train), trainer._compute_features)
    for films in ([5, 3, 5, 9], [9, 1, 5], [3, 3, 0]):
        index = torch.tensor(films)
        with torch.no_grad():
            expected = trainer.bare_model.backbone(trainer.transform(trainer.images[index]))
        got = table.get(index)
        assert not got.requires_grad
        torch.testing.assert_close(got, expected, atol=2e-3, rtol=1e-2)  # grey levels made twice
