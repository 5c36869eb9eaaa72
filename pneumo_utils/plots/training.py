"""How a training went."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pneumo_utils.plots.style import SPLIT_COLOURS, styled
from pneumo_utils.training.lr_finder import LrCurve
from pneumo_utils.training.resume import EpochRecord


@styled
def plot_history(history: list[EpochRecord]) -> Figure:
    """Loss on training and validation films, and validation AUROC, epoch by epoch."""
    epochs = [record.epoch for record in history]
    best = [record for record in history if record.is_best][-1]
    train, val = SPLIT_COLOURS["train"], SPLIT_COLOURS["val"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3))
    left.plot(epochs, [r.train_loss for r in history], "o-", color=train, label="train, augmented")
    left.plot(epochs, [r.val_loss for r in history], "s-", color=val, label="validation")
    left.set(xlabel="epoch", ylabel="loss", title="loss")
    right.plot(epochs, [r.val_auroc for r in history], "s-", color=val, label="plain films")
    right.plot(epochs, [r.stress_auroc for r in history], "^--", color=val, label="stressed films")
    right.axvline(best.epoch, color="0.5", linestyle=":", label=f"kept: epoch {best.epoch}")
    right.set(xlabel="epoch", ylabel="AUROC", title="validation AUROC")
    for axis in (left, right):
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, fontsize=9, columnspacing=1)
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


@styled
def plot_lr_curve(curve: LrCurve) -> Figure:
    """The loss over the rising learning rate, with the rate that is suggested."""
    figure, axis = plt.subplots(figsize=(7, 3.5))
    axis.semilogx(curve.lrs, curve.losses, color="black")
    axis.axvline(curve.suggestion, color="0.4", linestyle="--")
    place = (curve.suggestion, curve.losses.max())
    axis.annotate(f" steepest at {curve.suggestion:.1e}", place, color="0.4", va="top")
    axis.set(xlabel="learning rate", ylabel="smoothed training loss")
    return figure


@styled
def plot_lr_schedule(rates: np.ndarray, *, num_epochs: int) -> Figure:
    """The learning rate over a run, float (steps, groups): the head's, and the lowest block's if another."""
    epochs = np.arange(1, len(rates) + 1) * num_epochs / len(rates)
    figure, axis = plt.subplots(figsize=(7, 2.8))
    axis.plot(epochs, rates[:, -1], color="black", linewidth=2, label="head")
    if not np.allclose(rates[:, 0], rates[:, -1]):
        axis.plot(epochs, rates[:, 0], "--", color="0.4", linewidth=2, label="lowest block")
        axis.legend()
    axis.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    return figure
