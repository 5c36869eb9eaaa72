"""What is traced: losses, measured alike on every set and never on test films, and the rates of a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import STILL
from test_optimizer import CONFIG, FourBlocks, run_schedule

from pneumo_utils.errors import UsageError
from pneumo_utils.training.fit import fit
from pneumo_utils.training.lr_finder import trace_losses, trace_rates
from pneumo_utils.training.trainer import Trainer


def test_the_losses_of_validation_are_those_that_fit_reports(phantoms, tiny_config):
    train, val = phantoms
    history = fit(tiny_config, train, val=val, say=lambda text: None).history
    losses = trace_losses(tiny_config, train, judged={"val": val, "again": val})
    assert losses["val"] == pytest.approx([record.val_loss for record in history])
    assert np.array_equal(losses["val"], losses["again"])


def test_training_films_are_judged_as_they_are(phantoms, tiny_config, monkeypatch):
    train, _ = phantoms
    kept, predict = [], Trainer.predict

    def keep(self, images):
        kept.append(predict(self, images))
        return kept[-1]

    monkeypatch.setattr(Trainer, "predict", keep)
    losses = trace_losses(replace(tiny_config, label_smoothing=0.2), train, judged={"train": train})
    targets = torch.from_numpy(train.labels).double()
    expected = [float(F.binary_cross_entropy_with_logits(torch.from_numpy(z), targets)) for z in kept]
    assert losses["train"] == pytest.approx(expected) and len(expected) == tiny_config.num_epochs


def test_a_bare_network_comes_to_know_a_few_films_by_heart(phantoms, tiny_config):
    train, val = phantoms
    few = train.select(np.arange(32))
    bare = replace(tiny_config, num_epochs=25, augmentation=STILL, dropout=0.0, label_smoothing=0.0)
    losses = trace_losses(replace(bare, ema_decay=0.0, lr=3e-3), few, judged={"few": few, "val": val})
    assert losses["few"][-1] < 0.1 < losses["few"][0]


def test_test_films_and_too_few_films_are_refused(phantoms, tiny_config):
    train, val = phantoms
    with pytest.raises(ValueError, match="expected train and val"):
        trace_losses(tiny_config, train, judged={"t": val.select(slice(None), split="test")})
    with pytest.raises(UsageError, match="batch_size is 16 and the train split has 8 films"):
        trace_losses(tiny_config, train.select(np.r_[:4, -4:0]), judged={"val": val})


def test_the_traced_rates_are_those_of_a_run_and_the_model_stays_as_it_is():
    config, model = replace(CONFIG, strategy="two_stage"), FourBlocks()
    before = [weights.detach().clone() for weights in model.parameters()]
    rates = trace_rates(config, model, 10)
    assert rates.shape == (10, 5)
    np.testing.assert_allclose(rates, run_schedule(config, 10)[:10])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    np.testing.assert_allclose(trace_rates(replace(config, schedule="cosine"), model, 2)[:, -1], [0.08, 0.04])
