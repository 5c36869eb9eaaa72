"""What a run does, traced step by step or epoch by epoch, for a figure and not for a choice."""

import numpy as np
from sklearn.metrics import log_loss
from torch import nn

from pneumo_utils.config import TrainConfig
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.models.predict import compute_probs
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.loop import prepare_model, require_train_films
from pneumo_utils.training.optimizer import make_optimizer, make_schedule
from pneumo_utils.training.trainer import Trainer


def trace_losses(
    config: TrainConfig, train: XrayDataset, *, judged: dict[str, XrayDataset]
) -> dict[str, np.ndarray]:
    """Trains, and after each epoch measures the loss of each set of films as they are.

    The loss that training itself reports is of augmented, weighted and smoothed films under weights that
    still move, and stands beside no other. Nothing is chosen or kept here.

    Args:
        config: How to train.
        train: Films of the train split.
        judged: Films of the train or validation split by name, the training films themselves among them.

    Returns:
        By the same names float (num_epochs,), the mean cross-entropy of the plain films.

    Raises:
        ValueError: Films of the test split were handed over.
        UsageError: The batch is larger than the set.
    """
    if any(films.split == "test" for films in judged.values()):
        raise ValueError("trace_losses was handed test films; expected train and val.")
    require_train_films(config, train)
    keep_freed_memory()
    set_seed(config.seed)
    model, config, _ = prepare_model(config)
    trainer = Trainer(config, model, train, accelerator=make_accelerator())
    losses = {name: [] for name in judged}
    for epoch in range(1, config.num_epochs + 1):
        trainer.train_epoch(epoch)
        for name, films in judged.items():
            probs = compute_probs(trainer.predict(films.images))
            losses[name].append(log_loss(films.labels, probs, labels=[0, 1]))
    return {name: np.array(values) for name, values in losses.items()}


def trace_rates(config: TrainConfig, model: nn.Module, num_steps: int) -> np.ndarray:
    """The rates that a run of `num_steps` steps will have, as its own optimizer and schedule set them.

    Args:
        config: How to train, its strategy settled.
        model: From `build_model`; it is not changed.
        num_steps: Steps of the run, 1 or more.

    Returns:
        float (num_steps, number of blocks + 1), one column a block from the film up, the head last.
    """
    optimizer = make_optimizer(config, model)
    schedule, rates = make_schedule(config, optimizer, num_steps), []
    for _ in range(num_steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()  # without a gradient it moves nothing, but the schedule asks for it
        schedule.step()
    return np.array(rates)
