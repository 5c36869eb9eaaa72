"""What a run does, traced for a figure and not for a choice: learning-rate range test, rates."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

from pneumo_utils.config import TrainConfig, expect
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError
from pneumo_utils.runtime import name_what_to_lower
from pneumo_utils.training.fit import make_trainer
from pneumo_utils.training.trainer import Trainer, make_optimizer, make_schedule

LOWEST_LR, HIGHEST_LR = 1e-5, 1.0
SMOOTHING = 0.9
EXPLODED = 3.0


@dataclass(frozen=True)
class LrCurve:
    """The head's rates and the smoothed training losses, float (T,), and the rate of the steepest fall."""

    lrs: np.ndarray
    losses: np.ndarray
    suggestion: float


@name_what_to_lower
def find_lr(
    config: TrainConfig,
    train: XrayDataset,
    *,
    weights_path: Path | None = None,
    num_steps: int = 100,
    say: Callable[[str], None] = print,
) -> LrCurve:
    """Trains for `num_steps` steps at most, 10 or more, while the rate rises geometrically from 1e-5 to 1.

    It ends early where the smoothed loss has risen to three times its lowest value. No validation film is
    looked at, and the weights are thrown away; the configuration's own rate and schedule are not used.

    Source: Smith, Cyclical Learning Rates, WACV 2017, arXiv 1506.01186. The suggestion by steepest descent is
    that of the fastai library, the smoothing that of Adam's averages.
    """
    expect(num_steps >= 10, "steps", num_steps, "10 or more")
    trainer, _ = make_trainer(config, train, weights_path=weights_path, say=say)
    trainer.open_blocks(trainer.num_open_blocks(config.num_epochs))
    start = trainer.lr
    for group in trainer.optimizer.param_groups:
        group["lr"] *= LOWEST_LR / start
    ratio = (HIGHEST_LR / LOWEST_LR) ** (1 / (num_steps - 1))
    trainer.schedule = ExponentialLR(trainer.optimizer.optimizer, ratio)
    lrs, losses = _raise_rate(trainer, num_steps)
    steepest = np.argmin(np.gradient(losses, np.log(lrs)))
    return LrCurve(lrs, losses, float(lrs[steepest]))


def _raise_rate(trainer: Trainer, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The rates of the steps that were taken, and the smoothed losses."""
    lrs, losses, average, batches = [], [], 0.0, trainer.draw_batches()
    for step in range(1, num_steps + 1):
        lr = trainer.lr
        batches = batches or trainer.draw_batches()
        try:
            average = SMOOTHING * average + (1 - SMOOTHING) * trainer.step(batches.pop(0))
        except PneumoError:  # the loss is no number any more: the rate is far too high
            break
        lrs.append(lr)
        losses.append(average / (1 - SMOOTHING**step))
        if losses[-1] > EXPLODED * min(losses):
            break
    if len(lrs) < 3:
        raise PneumoError("The loss was no number from the start; check the films and the model.")
    return np.array(lrs), np.array(losses)


def trace_rates(config: TrainConfig, model: nn.Module, num_steps: int) -> np.ndarray:
    """The rates that a run of so many steps will have, by its own optimizer and schedule.

    They are float (num_steps, number of blocks + 1), one column a block from the film up, the head last.
    """
    optimizer = make_optimizer(config, model)
    schedule, rates = make_schedule(optimizer, num_steps), []
    for _ in range(num_steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()  # without a gradient it moves nothing, but the schedule asks for it
        schedule.step()
    return np.array(rates)
