"""The trainer: rates, which parts learn when, on which films, by what loss, and running out of memory."""

import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import STILL, make_lively_checkpoint
from torch import nn

from pneumo_utils.config import STRATEGIES, TrainConfig
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.backbone import list_blocks
from pneumo_utils.models.registry import MODELS, build_model
from pneumo_utils.runtime import make_accelerator
from pneumo_utils.training.fit import fit
from pneumo_utils.training.lr_finder import find_lr
from pneumo_utils.training.trainer import Trainer, make_optimizer, make_schedule

CONFIG = TrainConfig(model="resnet_finetune", lr=0.08, backbone_lr_factor=1 / 16, weight_decay=0.25)
REMEDY = r"Memory ran out at batch_size 16 and image_size 32\. Lower --batch_size or --image_size"


class Blocks(nn.Module):
    """Blocks below a head, with nothing in them but a weight."""

    def __init__(self, number: int = 4):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(number))
        self.head = nn.Linear(1, 1, bias=False)


def get_rates(optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def run_schedule(config: TrainConfig, num_steps: int) -> list[list[float]]:
    """The rates of all groups before the first step and after each."""
    optimizer = make_optimizer(config, Blocks())
    schedule, rates = make_schedule(optimizer, num_steps), []
    for _ in range(num_steps):
        rates.append(get_rates(optimizer))
        optimizer.step()
        schedule.step()
    return [*rates, get_rates(optimizer)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rates_fall_geometrically_from_the_head_down(strategy):
    # (1/16)^(4/4), ^(3/4), ^(2/4), ^(1/4) and 1 of 0.08: halved from block to block.
    optimizer = make_optimizer(replace(CONFIG, strategy=strategy), Blocks())
    assert get_rates(optimizer) == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08])
    assert get_rates(make_optimizer(replace(CONFIG, backbone_lr_factor=1.0), Blocks())) == [0.08] * 5


@pytest.mark.parametrize("name", [*MODELS, "timm_resnet10t"])
def test_each_parameter_is_in_one_group_and_the_head_in_the_last(name):
    model = build_model(name)
    groups = make_optimizer(replace(CONFIG, model=name), model).param_groups
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in model.parameters()}
    assert groups[-1]["params"] == list(model.head.parameters())
    assert len(groups) == len(list_blocks(model)) + 1


def test_a_network_without_a_backbone_is_one_part_below_its_head():
    model = build_model("cnn_baseline")
    assert list_blocks(model) == [model.features]


def test_the_decay_is_the_one_of_the_configuration():
    # A gradient of zero leaves AdamW nothing but its decay: a weight of 1 loses lr x weight_decay of itself.
    model = Blocks()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(replace(CONFIG, strategy="two_stage"), model).step()
    assert model.head.weight.item() == pytest.approx(1 - 0.08 * 0.25)
    assert model.blocks[0].weight.item() == pytest.approx(1 - 0.005 * 0.25)


def test_the_cycle_goes_up_to_the_top_and_down_almost_to_zero():
    # 17 steps and 3 that are never taken: up over 30 % of 20, so that step 5 has the top rate, from 1/25 of
    # it; then down to 1/10000 of where it began, which step 19 would have.
    top, start = 0.08, 0.08 / 25
    end = start / 10_000
    up = [top + (start - top) * (1 + math.cos(math.pi * step / 5)) / 2 for step in range(5)]
    down = [end + (top - end) * (1 + math.cos(math.pi * (step - 5) / 14)) / 2 for step in range(5, 18)]
    head = [rates[-1] for rates in run_schedule(CONFIG, 17)]
    assert head == pytest.approx(up + down, rel=1e-6)


def test_the_parts_keep_their_shares_all_the_way():
    for rates in run_schedule(replace(CONFIG, strategy="two_stage"), 17)[:-1]:
        assert [rate / rates[-1] for rate in rates] == pytest.approx(
            [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1], rel=1e-3
        )


def test_a_run_of_one_step_has_a_rate():
    assert run_schedule(CONFIG, 1)[0][-1] > 0


def make_trainer(train, *, model: str = "resnet_finetune", **changes) -> Trainer:
    torch.manual_seed(0)
    settings = {"image_size": 32, "num_epochs": 3, "batch_size": 32, "lr": 0.01, "strategy": "full"}
    config = TrainConfig(model=model, **settings | changes)
    return Trainer(config, build_model(model, dropout=config.dropout), train, accelerator=make_accelerator())


def test_a_teachers_probability_of_the_same_copy_counts_beside_the_label(phantoms):
    settings = {"augmentation": STILL, "label_smoothing": 0.0, "dropout": 0.0, "teacher_share": 0.75}
    teacher = make_lively_checkpoint(temperature=2.0)
    config = TrainConfig(model="cnn_baseline", image_size=32, **settings)
    model = build_model("cnn_baseline", dropout=0.0).train()
    trainer = Trainer(config, model, phantoms[0], accelerator=make_accelerator(), teacher=teacher)
    index = torch.arange(8)
    inputs, labels = teacher.transform(trainer.images[index]), trainer.labels[index].double()
    taught = torch.sigmoid(teacher.build_model()(inputs).double() / 2)  # its calibrated P(pneumonia)
    targets, probs = 0.25 * labels + 0.75 * taught, torch.sigmoid(trainer.model(inputs).double())
    expected = -(targets * probs.log() + (1 - targets) * (1 - probs).log()).mean()
    assert trainer.compute_loss(index).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_teacher_and_its_student_may_take_films_of_other_sizes(phantoms):
    # Or smaller: the films have 32 pixels, which the teacher takes; for the student they become 64.
    config = TrainConfig(model="cnn_baseline", image_size=32, augmentation=STILL)
    config, teacher = replace(config, image_size=64), make_lively_checkpoint()
    model, accelerator = build_model("cnn_baseline"), make_accelerator()
    trainer = Trainer(config, model, phantoms[0], accelerator=accelerator, teacher=teacher)
    seen = []
    trainer.bare_model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    assert torch.isfinite(trainer.compute_loss(torch.arange(4)))
    assert seen == [(4, 1, 64, 64)]


def test_a_teacher_that_reads_films_in_another_way_is_refused(phantoms):
    train, model = replace(phantoms[0], preset="percentile"), build_model("cnn_baseline")
    with pytest.raises(UsageError, match=r"teacher's preset is grey; expected percentile"):
        Trainer(CONFIG, model, train, accelerator=make_accelerator(), teacher=make_lively_checkpoint())


def copy_state(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def find_changed(model, before: dict) -> set[str]:
    """Names of the weights and buffers that are no longer as they were."""
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(
    ("num_blocks", "head_epochs", "unfreeze_epochs", "opened"),
    [
        (10, 1, 2, [0, 5, 10, 10]),
        (9, 1, 2, [0, 5, 9, 9]),  # half of 9 is 4.5, rounded up
        (10, 2, 4, [0, 0, 3, 5, 8, 10, 10]),  # 2.5 and 7.5, rounded up
        (10, 1, 1, [0, 10, 10]),
        (3, 3, 5, [0, 0, 0, 1, 2, 2, 3, 3]),  # 0.6, 1.2, 1.8, 2.4 and 3
        (1, 1, 3, [0, 1, 1, 1]),
        (25, 1, 25, [*range(26), 25]),  # one block an epoch, without an error of rounding
    ],
)
def test_two_stage_opens_the_blocks_from_the_top_as_worked_out_by_hand(
    phantoms, num_blocks, head_epochs, unfreeze_epochs, opened
):
    config = TrainConfig(
        model="x", strategy="two_stage", head_epochs=head_epochs, unfreeze_epochs=unfreeze_epochs
    )
    trainer = Trainer(config, Blocks(num_blocks), phantoms[0], accelerator=make_accelerator())
    assert [trainer.num_open_blocks(epoch) for epoch in range(1, len(opened) + 1)] == opened


@pytest.mark.parametrize(("strategy", "opened"), [("frozen", [0, 0, 0]), ("full", [10, 10, 10])])
def test_the_other_strategies_open_none_or_all_from_the_start(phantoms, strategy, opened):
    trainer = make_trainer(phantoms[0], strategy=strategy)
    assert [trainer.num_open_blocks(epoch) for epoch in (1, 2, 3)] == opened


def test_a_stage_says_what_learns(phantoms):
    trainer = make_trainer(phantoms[0], strategy="two_stage", head_epochs=1, unfreeze_epochs=2)
    # ResNet-18 has a first convolution, its normalisation and eight residual blocks.
    assert [trainer.stage(epoch) for epoch in (1, 2, 3)] == ["head", "top 5 of 10 blocks", "all"]
    assert make_trainer(phantoms[0], strategy="frozen").stage(3) == "head"


@pytest.mark.parametrize(
    ("strategy", "epoch", "backbone_moves"),
    [("frozen", 1, False), ("two_stage", 1, False), ("two_stage", 2, True), ("full", 1, True)],
)
def test_strategies_move_what_they_say(phantoms, strategy, epoch, backbone_moves):
    trainer = make_trainer(phantoms[0], strategy=strategy)
    before = copy_state(trainer.bare_model)
    trainer.train_epoch(epoch)
    moved = find_changed(trainer.bare_model, before)
    assert "head.weight" in moved
    assert any(name.startswith("backbone") for name in moved) is backbone_moves


@pytest.mark.parametrize("model", ["resnet_finetune", "timm_resnet10t"])
@pytest.mark.parametrize("num_open", [0, 2, None])
def test_closed_blocks_keep_weights_and_normalisation_statistics(phantoms, model, num_open):
    trainer = make_trainer(phantoms[0], model=model, strategy="two_stage")
    blocks = trainer.blocks
    num_open = len(blocks) if num_open is None else num_open
    before = [copy_state(block) for block in blocks]
    trainer.open_blocks(num_open)
    for batch in trainer.draw_batches():
        trainer.step(batch)
    for index, block in enumerate(blocks):
        is_open, changed = index >= len(blocks) - num_open, find_changed(block, before[index])
        assert changed == (set(block.state_dict()) if is_open else set()), index  # all of it, or nothing


def test_a_block_that_was_opened_learns_and_one_that_was_closed_again_does_not(phantoms):
    trainer = make_trainer(phantoms[0], strategy="two_stage")
    trainer.open_blocks(10)
    trainer.step(trainer.draw_batches()[0])
    trainer.open_blocks(0)
    before = copy_state(trainer.bare_model.backbone)
    trainer.step(trainer.draw_batches()[0])
    assert find_changed(trainer.bare_model.backbone, before) == set()


def test_validation_leaves_closed_blocks_closed_and_dropout_on(phantoms):
    trainer = make_trainer(phantoms[0], strategy="two_stage")
    trainer.open_blocks(4)
    trainer.predict(phantoms[1].images)
    assert [block.training for block in trainer.blocks] == [False] * 6 + [True] * 4
    assert trainer.bare_model.dropout.training and trainer.bare_model.head.training


def test_class_weights_make_both_classes_count_the_same(phantoms):
    train = phantoms[0]
    weights = make_trainer(train, balance="weights").class_weights.numpy()
    assert weights[0] * (train.labels == 0).sum() == pytest.approx(weights[1] * (train.labels == 1).sum())
    assert (weights[train.labels]).mean() == pytest.approx(1)


@pytest.mark.parametrize("balance", ["sampling", "none"])
def test_otherwise_no_film_weighs_more_than_another(phantoms, balance):
    assert make_trainer(phantoms[0], balance=balance).class_weights.tolist() == [1, 1]


def make_unbalanced(num_normal: int, num_pneumonia: int) -> XrayDataset:
    labels = np.repeat([0, 1], [num_normal, num_pneumonia])
    names = np.array([f"f{i}" for i in range(len(labels))])
    images = np.zeros((len(labels), 32, 32), np.uint8)
    return XrayDataset(images, labels, names, names, names, "synthetic", "train")


def test_balanced_sampling_draws_both_classes_about_equally_and_each_film_of_a_class_too():
    films = make_unbalanced(10, 90)
    trainer = make_trainer(films, model="cnn_baseline", balance="sampling", batch_size=10)
    drawn = torch.cat([batch for _ in range(40) for batch in trainer.draw_batches()]).numpy()
    assert len(drawn) == 4000
    # Four standard deviations of a share of 4000: 4 sqrt(.25 / 4000) = 0.032.
    assert films.labels[drawn].mean() == pytest.approx(0.5, abs=0.032)
    # Each normal film is drawn 4000 / 2 / 10 = 200 times, with a deviation of about sqrt(200) = 14.
    assert np.bincount(drawn, minlength=100)[:10] == pytest.approx([200] * 10, abs=4 * 14)
    # Each of the other 90 films 4000 / 2 / 90 = 22 times, with about sqrt(22) = 4.7.
    assert np.bincount(drawn, minlength=100)[10:] == pytest.approx([22] * 90, abs=5 * 4.7)


@pytest.mark.parametrize("balance", ["weights", "none"])
def test_otherwise_each_film_is_drawn_at_most_once_an_epoch(balance):
    trainer = make_trainer(make_unbalanced(10, 25), model="cnn_baseline", balance=balance, batch_size=10)
    epochs = [trainer.draw_batches() for _ in range(2)]
    assert [len(batch) for batch in epochs[0]] == [10, 10, 10]  # of 35: the rest is no whole batch
    orders = [torch.cat(batches).tolist() for batches in epochs]
    assert all(len(set(order)) == 30 and set(order) <= set(range(35)) for order in orders)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_the_order_of_films_follows_from_the_seed(balance):
    films = make_unbalanced(10, 30)
    first, again, other = (
        torch.cat(make_trainer(films, model="cnn_baseline", balance=balance, seed=seed).draw_batches())
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


class Watched:
    """A trainer that takes one step, with what went into the network and what came out of it."""

    def __init__(self, films: XrayDataset, index: list[int], **changes):
        settings = {"model": "cnn_baseline", "augmentation": STILL, "dropout": 0.0} | changes
        self.trainer = make_trainer(films, **settings)
        self.trainer.bare_model.register_forward_hook(self._watch)
        self.index = torch.tensor(index)
        self.loss = self.trainer.step(self.index)
        self.films = self.trainer.transform(torch.from_numpy(films.images[index]))

    def _watch(self, model, inputs, logits):
        self.inputs, self.logits = inputs[0].detach().clone(), logits.detach().clone().double().numpy()


def compute_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    probs = 1 / (1 + np.exp(-logits))
    return -targets * np.log(probs) - (1 - targets) * np.log(1 - probs)


def test_without_mixup_the_films_and_the_smoothed_labels_go_in_as_they_are(phantoms):
    train, index = phantoms[0], [0, 1, 2, 3, 4, 5, 6, 7]
    seen = Watched(train, index, label_smoothing=0.1, balance="weights")
    assert torch.allclose(seen.inputs, seen.films, atol=1e-3)
    labels = train.labels[index]
    targets = np.where(labels == 1, 0.9, 0.1)  # a share of 0.1 of each label goes to the other class
    weights = np.array([len(train) / 2 / (train.labels == label).sum() for label in labels])
    expected = (weights * compute_cross_entropy(seen.logits, targets)).mean()
    assert seen.loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mixup_blends_films_and_labels_with_the_same_share(phantoms, seed):
    train = phantoms[0]
    normal, pneumonia = np.flatnonzero(train.labels == 0)[:3], np.flatnonzero(train.labels == 1)[:4]
    index = [*normal, *pneumonia]
    seen = Watched(train, index, mixup=0.4, label_smoothing=0.1, balance="weights", seed=seed)
    # The share by which each film is blended with the one at its place from the end, read off the pixels.
    partners = seen.films.flip(0)
    pairs, blended = (seen.films - partners).flatten(), (seen.inputs - partners).flatten()
    share = ((pairs @ blended) / (pairs @ pairs)).item()
    assert torch.allclose(seen.inputs, share * seen.films + (1 - share) * partners, atol=1e-3)
    labels = train.labels[index]
    targets = np.where(labels == 1, 0.9, 0.1)
    weights = np.array([len(train) / 2 / (train.labels == label).sum() for label in labels])
    targets, weights = (share * x + (1 - share) * x[::-1] for x in (targets, weights))
    expected = (weights * compute_cross_entropy(seen.logits, targets)).mean()
    assert 0 <= share <= 1 and seen.loss == pytest.approx(expected, rel=1e-4)


def test_the_shares_of_mixup_follow_the_beta_distribution(phantoms):
    trainer = make_trainer(phantoms[0], model="cnn_baseline", mixup=0.5, augmentation=STILL)
    inputs, index = [], torch.tensor([0, 1])
    trainer.bare_model.register_forward_pre_hook(lambda model, args: inputs.append(args[0].clone()))
    with torch.no_grad():
        for _ in range(300):
            trainer.compute_loss(index)
    first, second = trainer.transform(trainer.images[index])
    shares = np.array(
        [((x[0] - second) * (first - second)).sum() / ((first - second) ** 2).sum() for x in inputs]
    )
    # Beta(1/2, 1/2) is the arcsine law: P(share < x) = 2 / pi * arcsin(sqrt(x)).
    for x in (0.1, 0.25, 0.5, 0.75, 0.9):
        expected = 2 / np.pi * np.arcsin(np.sqrt(x))
        # Four standard deviations of a share of 300.
        assert (shares < x).mean() == pytest.approx(
            expected, abs=4 * np.sqrt(expected * (1 - expected) / 300)
        )


def test_the_loss_that_is_reported_is_the_mean_over_the_steps(phantoms):
    trainer, losses = make_trainer(phantoms[0], model="cnn_baseline"), []
    mean = trainer.train_epoch(1, on_step=losses.append)
    assert len(losses) == len(phantoms[0]) // 32 == trainer.steps_per_epoch
    assert mean == pytest.approx(sum(losses) / len(losses))


def test_without_averaging_the_weights_that_are_kept_are_the_last_ones(phantoms):
    trainer = make_trainer(phantoms[0], model="cnn_baseline", ema_decay=0.0)
    trainer.train_epoch(1)
    assert find_changed(trainer.bare_model, trainer.get_state()) == set()


def test_averaged_weights_move_by_the_share_that_the_decay_leaves(phantoms):
    trainer = make_trainer(phantoms[0], model="cnn_baseline", ema_decay=0.5)
    weights, kept = [], []
    for batch in trainer.draw_batches()[:3]:
        trainer.step(batch)
        weights.append(trainer.bare_model.head.weight.detach().clone())
        kept.append(trainer.get_state()["head.weight"])
    # The first step's weights are taken as they are. Then the decay is the smaller of 0.5 and
    # (1 + steps) / (10 + steps): 2/11 after one step, 3/12 after two.
    assert torch.allclose(kept[0], weights[0])
    assert torch.allclose(kept[1], 2 / 11 * kept[0] + 9 / 11 * weights[1], atol=1e-6)
    assert torch.allclose(kept[2], 3 / 12 * kept[1] + 9 / 12 * weights[2], atol=1e-6)


@pytest.mark.parametrize("bias", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_before_the_weights_are_spoilt(phantoms, bias):
    trainer = make_trainer(phantoms[0], model="cnn_baseline")
    nn.init.constant_(trainer.bare_model.head.bias, bias)
    before = copy_state(trainer.bare_model.features)
    with pytest.raises(PneumoError, match=r"loss became infinite or NaN.*Lower --lr \(it is 0\.01\)"):
        trainer.train_epoch(1)
    for name, value in trainer.bare_model.features.named_parameters():
        assert torch.equal(value, before[name])


def test_the_rate_that_is_shown_is_the_heads(phantoms):
    trainer = make_trainer(phantoms[0], strategy="two_stage", backbone_lr_factor=0.25)
    assert trainer.lr == pytest.approx(0.01 / 25)  # where one cycle begins
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.0025 / 25)


@pytest.fixture
def fail(monkeypatch):
    """Makes the second step of a training fail with an error of a kind and text.

    It returns a list, which then holds references to what was in memory.
    """

    def set_error(kind: type, text: str) -> list[weakref.ref]:
        held, step = [], Trainer.step

        def step_once(self, index):
            if held:
                raise kind(text)
            held.extend(weakref.ref(part) for part in (self, self.images, self.averaged))
            return step(self, index)

        monkeypatch.setattr(Trainer, "step", step_once)
        return held

    return set_error


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
        (RuntimeError, "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you"),
        (RuntimeError, "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        (RuntimeError, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        (MemoryError, "Unable to allocate 8.00 GiB for an array"),
    ],
)
def test_a_sentence_says_what_to_lower_and_all_is_freed(phantoms, tiny_config, fail, kind, text):
    held = fail(kind, text)
    with pytest.raises(PneumoError, match=REMEDY) as caught:
        fit(tiny_config, phantoms[0], val=phantoms[1], say=lambda text: None)
    assert [reference() for reference in held] == [None, None, None]
    assert caught.value.__context__ is None  # else the error at hand would hold the tensors


def test_the_learning_rate_finder_says_it_too(phantoms, tiny_config, fail):
    fail(MemoryError, "")
    with pytest.raises(PneumoError, match=REMEDY):
        find_lr(tiny_config, phantoms[0], num_steps=10, say=lambda text: None)


def test_another_error_stays_what_it_is(phantoms, tiny_config, fail):
    fail(RuntimeError, "mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit(tiny_config, phantoms[0], val=phantoms[1], say=lambda text: None)
