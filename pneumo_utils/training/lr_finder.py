"""Learning-rate finder: one short run in which the rate rises until the loss explodes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.optim.lr_scheduler import ExponentialLR

from pneumo_utils.config import TrainConfig
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.loop import prepare_model, require_train_films
from pneumo_utils.training.memory import name_what_to_lower
from pneumo_utils.training.trainer import Trainer

LOWEST_LR, HIGHEST_LR = 1e-5, 1.0
SMOOTHING = 0.9
EXPLODED = 3.0


@dataclass(frozen=True)
class LrCurve:
    """What the finder saw.

    Attributes:
        lrs: float (T,), the head's rate at each step, rising.
        losses: float (T,), the smoothed training loss there.
        suggestion: The rate at which the loss falls most steeply per factor of rate.
    """

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
    """Trains for some steps while the rate rises geometrically from 1e-5 to 1.

    It ends early where the smoothed loss has risen to three times its lowest value. No validation film is
    looked at, and the weights are thrown away.

    Args:
        config: How to train; its `lr` and schedule are not used.
        train: Films of the train split.
        weights_path: ImageNet weights, as for `fit`.
        num_steps: Most steps, 10 or more.
        say: Takes the sentence that there are no ImageNet weights.

    Returns:
        The curve with the suggestion.

    Raises:
        ValueError: `train` is of another split: no validation or test film can be handed over.
        UsageError: There are fewer than 10 steps, or the batch is larger than the set.
        PneumoError: The loss was no number after a few steps, or memory ran out.

    Source:
        Smith, Cyclical Learning Rates, WACV 2017, arXiv 1506.01186. The suggestion by steepest descent is
        that of the fastai library, the smoothing that of Adam's averages.
    """
    if num_steps < 10:
        raise UsageError(f"steps is {num_steps}; expected 10 or more.")
    require_train_films(config, train)
    keep_freed_memory()
    set_seed(config.seed)
    model, config, _ = prepare_model(config, weights_path=weights_path, say=say)
    trainer = Trainer(config, model, train, accelerator=make_accelerator())
    trainer.open_blocks(trainer.num_open_blocks(config.num_epochs))
    start = trainer.lr
    for group in trainer.optimizer.param_groups:
        group["lr"] *= LOWEST_LR / start
    ratio = (HIGHEST_LR / LOWEST_LR) ** (1 / (num_steps - 1))
    trainer.schedule = ExponentialLR(trainer.optimizer.optimizer, ratio)
    lrs, losses, average = [], [], 0.0
    batches = _repeat(trainer.draw_batches)
    for step in range(1, num_steps + 1):
        lr = trainer.lr
        try:
            average = SMOOTHING * average + (1 - SMOOTHING) * trainer.step(next(batches))
        except PneumoError:  # the loss is no number any more: the rate is far too high
            break
        lrs.append(lr)
        losses.append(average / (1 - SMOOTHING**step))
        if losses[-1] > EXPLODED * min(losses):
            break
    if len(lrs) < 3:
        raise PneumoError("The loss was no number from the start; check the films and the model.")
    slopes = np.gradient(np.array(losses), np.log(lrs))
    return LrCurve(np.array(lrs), np.array(losses), float(lrs[int(np.argmin(slopes))]))


def _repeat(draw_batches):
    while True:
        yield from draw_batches()
