"""What lesson 02 writes by hand equals the package: the network, its answers, and the loss of each step."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lessons import run_taught
from sklearn.metrics import roc_auc_score
from torch import nn

from pneumo_utils import config
from pneumo_utils.data import augmentation
from pneumo_utils.data.splits import make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.predict import predict_logits
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import make_accelerator
from pneumo_utils.training.recipes import make_config
from pneumo_utils.training.trainer import Trainer, make_optimizer

LESSON = "02_train_cnn.ipynb"
NUM_EPOCHS = 2


@pytest.fixture
def names() -> dict:
    """The names that the lesson's cells find, over phantoms of 32 px, and what the taught cells add."""
    train, val = make_validation_split(make_phantoms(120, image_size=32))
    recipe = make_config("cnn_baseline", image_size=32, num_epochs=NUM_EPOCHS, lr=1e-3)
    known = {"itertools": itertools, "np": np, "torch": torch, "F": F, "nn": nn, "augmentation": augmentation}
    known["config"] = config
    known |= {"roc_auc_score": roc_auc_score, "train": train, "val": val, "recipe": recipe, "quick": recipe}
    known["transform"] = config.EvalTransform(32, train.preset)
    for tag in ("taught-model", "taught-epoch", "taught-predict"):
        known = run_taught(LESSON, tag, known)
    return known


def test_the_network_is_the_packages(names):
    torch.manual_seed(1)
    ours, taught = build_model("cnn_baseline").eval(), names["SmallCnn"]().eval()
    assert taught.load_state_dict(ours.state_dict()) and names["SmallCnn"]().dropout.p == ours.dropout.p
    films = torch.randn(6, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(taught(films), ours(films), rtol=0, atol=1e-6)


def test_its_answers_are_those_of_the_packages_loop(names):
    taught, films = names["SmallCnn"](), names["val"]
    expected = predict_logits(taught, films.images, transform=names["transform"])
    assert names["predict"](taught, films).numpy() == pytest.approx(expected, abs=1e-6)


def test_each_step_has_the_loss_of_the_packages_trainer(names, monkeypatch, capsys):
    """Without averaging, smoothing, schedule and clipping, and with all draws from one generator.

    Both train the lesson's network in the same memory layout: else the last bits of a sum differ, and Adam's
    first steps, which are of one size for any gradient, make much of them.
    """
    network = names["SmallCnn"]

    class Laid(network):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.to(memory_format=torch.channels_last)

    left = run_taught(LESSON, "taught-loop", names | {"SmallCnn": Laid})
    taught = left["losses"]

    plain = replace(names["recipe"], label_smoothing=0.0, ema_decay=0.0)
    torch.manual_seed(plain.seed)
    trainer = Trainer(plain, network(), names["train"], accelerator=make_accelerator())
    trainer.order = trainer.draws = torch.default_generator
    trainer.optimizer = trainer.accelerator.prepare(make_optimizer(plain, trainer.bare_model))
    trainer.schedule = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer.optimizer, lambda step: 1.0)
    monkeypatch.setattr(trainer.accelerator, "clip_grad_norm_", lambda parameters, longest: None)
    ours = []
    for epoch in range(1, NUM_EPOCHS + 1):
        trainer.train_epoch(epoch, on_step=ours.append)

    assert len(taught) == len(ours) == NUM_EPOCHS * (len(names["train"]) // 32)
    assert taught == pytest.approx(ours, abs=1e-6)
    said = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    expected = roc_auc_score(names["val"].labels, trainer.predict(names["val"].images))
    assert len(said) == NUM_EPOCHS and said[-1] == pytest.approx(expected, abs=5e-4)
