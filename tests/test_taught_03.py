"""What a reader writes in lesson 03 does what the package does, and its weights saw no validation film."""

import ast
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lessons import NOTEBOOKS, run_taught
from torch import nn

from pneumo_utils.config import EvalTransform, TrainConfig
from pneumo_utils.data import augmentation
from pneumo_utils.data.splits import make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models import backbone, shipped
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import make_accelerator
from pneumo_utils.training.recipes import AUGMENTATION
from pneumo_utils.training.trainer import Trainer, make_optimizer

NAME = "03_train_resnet.ipynb"
CONFIG = TrainConfig(model="efficientnet_lite0_finetune", image_size=32, num_epochs=5, lr=5e-4)
CNN = TrainConfig(model="cnn_baseline", image_size=32)
NETWORKS = ("efficientnet_lite0_finetune", "resnet_finetune")


@pytest.fixture(scope="module")
def films():
    return make_phantoms(96, image_size=32)


def take(tag: str, function: str, **names):
    return run_taught(NAME, tag, names)[function]


def test_grey_filters_are_those_of_the_package(films):
    names = {"backbone": backbone, "config": SimpleNamespace(EvalTransform=EvalTransform), "F": F}
    left = run_taught(
        NAME, "taught-grey", names | {"torch": torch, "train": films, "few": films, "image_size": 32}
    )
    model = backbone.EfficientnetLite0Finetune()
    model.use_imagenet_state(left["photographs"])
    torch.testing.assert_close(left["grey"], model.backbone.conv_stem.weight.detach(), atol=1e-6, rtol=0)
    torch.testing.assert_close(left["as_films"], left["as_photographs"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("num_open", [0, 1, 3, 99])
def test_the_same_parts_learn_as_in_the_package(films, name, num_open):
    own, config = build_model(name), replace(CONFIG, model=name)
    trainer = Trainer(config, build_model(name), films, accelerator=make_accelerator())
    own.eval()  # as an epoch's judgement leaves it
    take("taught-freeze", "open_blocks")(own, num_open)
    trainer.open_blocks(num_open)
    learns = [weights.requires_grad for weights in own.parameters()]
    assert learns == [weights.requires_grad for weights in trainer.bare_model.parameters()]
    assert own.head.training and own.dropout.training
    modes = [part.training for block in own.blocks for part in block.modules()]
    assert modes == [part.training for block in trainer.blocks for part in block.modules()]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_groups_and_their_rates_are_those_of_the_package(name, factor):
    model = build_model(name)
    groups = take("taught-groups", "make_groups")(model, 5e-4, factor)
    theirs = make_optimizer(replace(CONFIG, model=name, backbone_lr_factor=factor), model).param_groups
    assert [g["lr"] for g in groups] == pytest.approx([g["lr"] for g in theirs], rel=1e-6)
    ids = [[id(weights) for weights in group["params"]] for group in groups]
    assert ids == [[id(weights) for weights in group["params"]] for group in theirs]


@pytest.mark.parametrize("head_epochs, unfreeze_epochs", [(1, 2), (2, 3), (1, 1)])
def test_blocks_open_as_in_the_package(films, head_epochs, unfreeze_epochs):
    settings = {"head_epochs": head_epochs, "unfreeze_epochs": unfreeze_epochs}
    config = replace(CONFIG, strategy="two_stage", **settings)
    trainer = Trainer(config, build_model(config.model), films, accelerator=make_accelerator())
    count = take("taught-unfreeze", "count_open", np=np)
    total = len(trainer.blocks)
    opened = [count(epoch, total, head_epochs, unfreeze_epochs) for epoch in range(1, 7)]
    assert opened == [trainer.num_open_blocks(epoch) for epoch in range(1, 7)]
    if (head_epochs, unfreeze_epochs) == (TrainConfig.head_epochs, TrainConfig.unfreeze_epochs):
        assert opened == [count(epoch, total) for epoch in range(1, 7)]


def test_an_epoch_moves_what_is_open_and_nothing_else(films):
    torch.manual_seed(0)
    model = build_model(CONFIG.model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    take("taught-freeze", "open_blocks")(model, 1)
    names = {"torch": torch, "F": F, "augmentation": augmentation}
    names["train_config"] = SimpleNamespace(augmentation=AUGMENTATION)
    optimizer = torch.optim.AdamW(take("taught-groups", "make_groups")(model, 1e-3, 1.0))
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    train_epoch = take("taught-loop", "train_epoch", **names)
    draws = torch.Generator().manual_seed(0)
    train_epoch(model, films, optimizer, schedule, EvalTransform(32, films.preset), draws)
    after = model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    top = {f"backbone.bn2.{name}" for name in ("weight", "bias", "running_mean", "running_var")}
    assert moved == top | {"backbone.bn2.num_batches_tracked", "head.weight", "head.bias"}
    assert schedule.last_epoch == 3  # 96 films in batches of 32


def test_an_epoch_has_the_weights_of_the_packages_trainer(films, monkeypatch):
    """Without averaging, smoothing and clipping, at one rate, and with all draws from one generator."""
    plain = replace(CNN, augmentation=AUGMENTATION, label_smoothing=0.0, ema_decay=0.0, lr=1e-3)
    films = replace(films, labels=np.random.default_rng(0).permutation(films.labels))
    ours, taught = (build_model(CNN.model, dropout=0.0) for _ in range(2))
    ours = ours.to(memory_format=torch.channels_last)
    taught.load_state_dict(ours.state_dict())
    taught = taught.to(memory_format=torch.channels_last)
    trainer = Trainer(plain, ours, films, accelerator=make_accelerator())
    trainer.order = trainer.draws = torch.Generator().manual_seed(7)
    trainer.optimizer = trainer.accelerator.prepare(make_optimizer(plain, trainer.bare_model))
    trainer.schedule = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer.optimizer, lambda step: 1.0)
    monkeypatch.setattr(trainer.accelerator, "clip_grad_norm_", lambda parameters, longest: None)
    trainer.train_epoch(1)
    names = {"torch": torch, "F": F, "augmentation": augmentation}
    names["train_config"] = SimpleNamespace(augmentation=AUGMENTATION)
    optimizer = make_optimizer(plain, taught)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    draws = torch.Generator().manual_seed(7)
    transform = EvalTransform(32, films.preset)
    take("taught-loop", "train_epoch", **names)(taught.train(), films, optimizer, schedule, transform, draws)
    for mine, theirs in zip(taught.parameters(), trainer.bare_model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_the_steps_of_a_head_are_those_of_adamw():
    """Loshchilov and Hutter, arXiv 1711.05101, algorithm 2, with PyTorch's betas."""
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    labels = (features[:, 1] > 0).long()
    train_head = take("taught-head", "train_head", torch=torch, nn=nn, F=F)
    torch.manual_seed(0)
    start = nn.Linear(4, 1)
    weights = np.append(start.weight.detach().numpy()[0], start.bias.detach().numpy())
    inputs, first, second = np.column_stack([features.numpy(), np.ones(50)]), np.zeros(5), np.zeros(5)
    for step in range(1, 6):
        probabilities = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (probabilities - labels.numpy()) / 50
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        weights = weights * (1 - 5e-3 * 0.05) - 5e-3 * move
        head = train_head(features, labels, num_steps=step)
        mine = np.append(head.weight.detach().numpy()[0], head.bias.detach().numpy())
        np.testing.assert_allclose(mine, weights, atol=1e-6)


def test_a_head_separates_what_a_line_separates():
    features = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * 3
    labels = (features[:, 0] > 0).long()
    names = {"torch": torch, "nn": nn, "F": F}
    head = take("taught-head", "train_head", **names)(features, labels, num_steps=2000)
    called = head(features).squeeze(1) > 0
    assert (called == labels.bool()).float().mean() > 0.97
    again = take("taught-head", "train_head", **names)(features, labels, num_steps=2000)
    assert torch.equal(head.weight, again.weight)


def make_trained(train, **changes) -> Checkpoint:
    """A network that says it learnt from these films."""
    transform = EvalTransform(32, train.preset)
    state = build_model(CNN.model).state_dict()
    facts = {"data_fingerprint": train.fingerprint()} | changes
    return Checkpoint(CNN, transform, state, threshold=0.5, **facts)


def compare_fingerprints(train, kept: Checkpoint) -> None:
    names = {"checkpoint": SimpleNamespace(load_checkpoint=lambda path, model_name: kept)}
    names |= {"folders": SimpleNamespace(checkpoint=lambda name: None), "choice": None}
    names["sources"] = SimpleNamespace(load_split=lambda choice, split, **reading: {"train": train}[split])
    honest = make_trained(train)
    run_taught(NAME, "taught-fingerprints", names | {"lite0": honest, "resnet": honest})


def test_a_network_that_saw_validation_films_is_refused(films, capsys):
    train, _ = make_validation_split(films)
    compare_fingerprints(train, make_trained(train))
    assert "None of them" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="small CNN of lesson 02 learnt from other films"):
        compare_fingerprints(train, make_trained(films))
    with pytest.raises(AssertionError, match="ask what that one has seen"):
        compare_fingerprints(train, make_trained(train, taught_by="cnn_baseline 0123456789ab"))


def test_lessons_start_from_no_weights_but_published_ones():
    for name in ("02_train_cnn.ipynb", NAME):
        cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"][1:]
        calls = [node for text in code for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        given = {keyword.arg for call in calls for keyword in call.keywords}
        called = {ast.unparse(call.func).split(".")[-1] for call in calls}
        assert given & {"weights_path", "teacher"} == set()
        assert called & {"find_checkpoint", "load_shipped", "load_state_dict", "load_weights"} == set()


def test_shipped_networks_and_their_teachers_saw_the_same_films():
    """Read alike, at one image size, there is one set of training films, without those of validation."""
    cards = {name: shipped.load_card(name)["checkpoint"] for name in shipped.list_shipped()}
    seen = {}
    for values in cards.values():
        teacher = values.get("taught_by", "").split(" ")[0]
        size = (cards[teacher] if teacher else values)["config"]["image_size"]
        reading = values["source"], values["transform"]["name"], size
        seen.setdefault(reading, set()).add(values["data_fingerprint"])
    assert seen and all(len(fingerprints) == 1 for fingerprints in seen.values())
