"""Learning rates: one for each part of a model, and their course over a run."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from pneumo_utils.config import TrainConfig
from pneumo_utils.models.registry import MODELS, build_model
from pneumo_utils.training.trainer import list_blocks, make_optimizer, make_schedule

CONFIG = TrainConfig(model="resnet_finetune", lr=0.08, backbone_lr_factor=1 / 16, weight_decay=0.25)


class FourBlocks(nn.Module):
    """Four blocks below a head, with nothing in them but a weight."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(4))
        self.head = nn.Linear(1, 1, bias=False)


def get_rates(optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def run_schedule(config: TrainConfig, num_steps: int) -> list[list[float]]:
    """The rates of all groups before the first step and after each."""
    optimizer = make_optimizer(config, FourBlocks())
    schedule, rates = make_schedule(config, optimizer, num_steps), []
    for _ in range(num_steps):
        rates.append(get_rates(optimizer))
        optimizer.step()
        schedule.step()
    return [*rates, get_rates(optimizer)]


def test_two_stage_rates_fall_geometrically_from_the_head_down():
    # (1/16)^(4/4), ^(3/4), ^(2/4), ^(1/4) and 1 of 0.08: halved from block to block.
    optimizer = make_optimizer(replace(CONFIG, strategy="two_stage"), FourBlocks())
    assert get_rates(optimizer) == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08])


@pytest.mark.parametrize("strategy", ["full", "frozen"])
def test_all_parts_have_the_same_rate_in_the_other_strategies(strategy):
    optimizer = make_optimizer(replace(CONFIG, strategy=strategy), FourBlocks())
    assert get_rates(optimizer) == [0.08] * 5


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
    model = FourBlocks()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(replace(CONFIG, strategy="two_stage"), model).step()
    assert model.head.weight.item() == pytest.approx(1 - 0.08 * 0.25)
    assert model.blocks[0].weight.item() == pytest.approx(1 - 0.005 * 0.25)


def test_the_cosine_goes_from_the_top_to_zero():
    head = [rates[-1] for rates in run_schedule(replace(CONFIG, schedule="cosine"), 8)]
    assert head == pytest.approx(
        [0.08 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(9)], abs=1e-9
    )
    assert (head[0], head[-1]) == (0.08, pytest.approx(0, abs=1e-9))


def test_the_cycle_goes_up_to_the_top_and_down_almost_to_zero():
    # 17 steps and 3 that are never taken: up over 30 % of 20, so that step 5 has the top rate, from 1/25 of
    # it; then down to 1/10000 of where it began, which step 19 would have.
    top, start = 0.08, 0.08 / 25
    end = start / 10_000
    up = [top + (start - top) * (1 + math.cos(math.pi * step / 5)) / 2 for step in range(5)]
    down = [end + (top - end) * (1 + math.cos(math.pi * (step - 5) / 14)) / 2 for step in range(5, 18)]
    head = [rates[-1] for rates in run_schedule(replace(CONFIG, schedule="one_cycle"), 17)]
    assert head == pytest.approx(up + down, rel=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_the_parts_keep_their_shares_all_the_way(schedule):
    for rates in run_schedule(replace(CONFIG, schedule=schedule, strategy="two_stage"), 17)[:-1]:
        assert [rate / rates[-1] for rate in rates] == pytest.approx(
            [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1], rel=1e-3
        )


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_a_run_of_one_step_has_a_rate(schedule):
    assert run_schedule(replace(CONFIG, schedule=schedule), 1)[0][-1] > 0
