"""What is traced: the learning-rate finder, and the rates of a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_trainer import CONFIG, Blocks, run_schedule

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.backbone import ResnetFinetune
from pneumo_utils.training.fit import RANDOM_WEIGHTS_SENTENCE
from pneumo_utils.training.lr_finder import find_lr, trace_rates
from pneumo_utils.training.trainer import Trainer


@pytest.fixture
def play(monkeypatch, phantoms, tiny_config):
    """Runs the finder with losses that are written down, in the place of those of a network."""

    def run(losses: list[float], *, num_steps: int | None = None, say=lambda text: None, **changes):
        played, seen = iter(losses), []

        def step(self, index):
            seen.append([group["lr"] for group in self.optimizer.param_groups])
            loss = next(played)
            if not np.isfinite(loss):
                raise PneumoError("The loss became nan.")
            self.optimizer.step()
            self.schedule.step()
            return loss

        monkeypatch.setattr(Trainer, "step", step)
        settings = {"num_steps": num_steps or len(losses), "say": say}
        return find_lr(replace(tiny_config, **changes), phantoms[0], **settings), np.array(seen)

    return run


def smooth(losses: list[float]) -> list[float]:
    """The mean of the losses so far, each weighing 0.9 of the one that follows it."""
    means = []
    for end in range(1, len(losses) + 1):
        weights = [0.9 ** (end - 1 - i) for i in range(end)]
        means.append(sum(w * x for w, x in zip(weights, losses, strict=False)) / sum(weights))
    return means


@pytest.mark.parametrize("lr", [1e-4, 0.5])
def test_the_rates_rise_geometrically_whatever_the_recipes_own(play, lr):
    curve, seen = play([1.0] * 11, lr=lr)
    # Ten factors of 10^0.5 from 1e-5 to 1.
    assert curve.lrs == pytest.approx([10 ** (-5 + 0.5 * i) for i in range(11)], rel=1e-6)
    assert curve.lrs == pytest.approx(seen[:, -1])  # which are the rates that the head had


def test_the_lower_blocks_keep_their_share_of_the_rate(play):
    _, seen = play([1.0] * 10, model="efficientnet_lite0_finetune", backbone_lr_factor=0.25)
    assert seen[:, 0] / seen[:, -1] == pytest.approx([0.25] * 10)


def test_all_that_the_strategy_will_open_is_open(play, monkeypatch):
    opened = []
    monkeypatch.setattr(Trainer, "open_blocks", lambda self, num_open: opened.append(num_open))
    for strategy in ("frozen", "two_stage", "full"):
        play([1.0] * 10, model="timm_resnet10t", pretrained=False, strategy=strategy, num_epochs=5)
    assert opened == [0, 10, 10]


def test_the_loss_is_smoothed(play):
    losses = np.random.default_rng(0).uniform(0.5, 1.0, 20).tolist()
    assert play(losses)[0].losses == pytest.approx(smooth(losses))


@pytest.mark.parametrize("seed", range(5))
def test_the_suggestion_is_the_steepest_point_of_the_curve(play, seed):
    losses = np.random.default_rng(seed).uniform(0.5, 1.0, 20).tolist()
    curve, _ = play(losses)
    smoothed, logs = smooth(losses), [np.log(1e-5) + i * np.log(1e5) / 19 for i in range(20)]
    ends = [(max(i - 1, 0), min(i + 1, 19)) for i in range(20)]  # from one neighbour to the other
    slopes = [(smoothed[b] - smoothed[a]) / (logs[b] - logs[a]) for a, b in ends]
    assert curve.suggestion == pytest.approx(np.exp(logs[int(np.argmin(slopes))]), rel=1e-6)


def test_a_fall_in_the_middle_is_found(play):
    # High until the rate is 1e-3, low from 1e-2 on: 21 steps, a factor of 10 in four of them.
    curve, _ = play([1.0] * 9 + [0.7, 0.4, 0.1] + [0.1] * 9)
    assert 1e-3 <= curve.suggestion <= 1e-2


# After five losses of 1 the weights sum to 1 + .9 + ... + .9^4 = 4.0951. With a sixth loss x the mean is
# (x + .9 * 4.0951) / (1 + .9 * 4.0951) = (x + 3.68559) / 4.68559, which is above 3 for x above 10.37.
@pytest.mark.parametrize(("loss", "num_steps"), [(10.3, 12), (10.4, 6)])
def test_it_ends_where_the_smoothed_loss_is_three_times_its_lowest(play, loss, num_steps):
    curve, seen = play([1.0] * 5 + [loss] + [1.0] * 6)
    assert len(curve.lrs) == len(curve.losses) == len(seen) == num_steps


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_it_ends_where_the_loss_is_no_number(play, loss):
    curve, _ = play([1.0, 0.9, 0.8, 0.7, loss, 0.6], num_steps=12)
    assert len(curve.lrs) == 4 and np.isfinite(curve.losses).all()


def test_too_few_numbers_make_no_curve(play):
    with pytest.raises(PneumoError, match="no number from the start"):
        play([1.0, 0.9, float("nan")], num_steps=12)


@pytest.mark.parametrize("num_steps", [9, 0, -1])
def test_fewer_than_ten_steps_are_refused(phantoms, tiny_config, num_steps):
    with pytest.raises(UsageError, match=f"steps is {num_steps}; expected 10 or more"):
        find_lr(tiny_config, phantoms[0], num_steps=num_steps)


def test_a_batch_that_is_larger_than_the_set_is_refused(phantoms, tiny_config):
    with pytest.raises(UsageError, match=r"batch_size is 500.*Lower --batch_size"):
        find_lr(replace(tiny_config, batch_size=500), phantoms[0], num_steps=10)


def test_no_validation_or_test_film_can_be_handed_over(phantoms, tiny_config):
    for films in (phantoms[1], make_phantoms(20, image_size=32, split="test")):
        with pytest.raises(ValueError, match=f"{films.split} films; expected train"):
            find_lr(tiny_config, films, num_steps=10)


def test_a_network_gives_the_same_curve_for_the_same_seed(phantoms, tiny_config):
    # 16 films a step: 12 steps are more than one round through the films.
    first, again = (find_lr(tiny_config, phantoms[0], num_steps=12) for _ in range(2))
    assert len(phantoms[0]) < 12 * 16
    assert np.array_equal(first.losses, again.losses) and first.suggestion == again.suggestion
    assert first.lrs[0] == pytest.approx(1e-5) and first.suggestion in first.lrs
    # Before anything is learnt, a network that says nothing has a loss of about log 2 = 0.69.
    assert first.losses[0] == pytest.approx(np.log(2), abs=0.3)


def test_missing_imagenet_weights_are_said(play, monkeypatch):
    monkeypatch.setattr(ResnetFinetune, "fetch_imagenet_state", lambda self: None)
    said = []
    play([1.0] * 10, model="resnet_finetune", say=said.append)
    assert said == [RANDOM_WEIGHTS_SENTENCE]


def test_the_traced_rates_are_those_of_a_run_and_the_model_stays_as_it_is():
    config, model = replace(CONFIG, strategy="two_stage"), Blocks()
    before = [weights.detach().clone() for weights in model.parameters()]
    rates = trace_rates(config, model, 10)
    assert rates.shape == (10, 5)
    np.testing.assert_allclose(rates, run_schedule(config, 10)[:10])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
