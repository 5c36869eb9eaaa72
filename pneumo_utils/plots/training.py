"""How a training went, and how recipes compare."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pneumo_utils.evaluation.results import Summary, get_figures
from pneumo_utils.plots.style import COLOURS, name_rows, styled, with_colours
from pneumo_utils.training.lr_finder import LrCurve
from pneumo_utils.training.resume import EpochRecord


@styled
def plot_history(history: list[EpochRecord]) -> Figure:
    """Loss on training and validation films, and validation AUROC, epoch by epoch."""
    epochs = [record.epoch for record in history]
    best = [record for record in history if record.is_best][-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.0))
    left.plot(epochs, [r.train_loss for r in history], "o-", color=COLOURS[0], label="train, augmented")
    left.plot(epochs, [r.val_loss for r in history], "s-", color=COLOURS[1], label="validation")
    left.set(xlabel="epoch", ylabel="loss", title="loss")
    left.legend()
    right.plot(epochs, [r.val_auroc for r in history], "s-", color=COLOURS[1], label="plain films")
    right.plot(epochs, [r.stress_auroc for r in history], "^-", color=COLOURS[2], label="stressed films")
    right.axvline(best.epoch, color="0.5", linestyle=":", label=f"kept: epoch {best.epoch}")
    right.set(xlabel="epoch", ylabel="AUROC", title="validation AUROC")
    right.legend(loc="lower right")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


@styled
def plot_lr_curve(curve: LrCurve) -> Figure:
    """The loss over the rising learning rate, with the rate that is suggested."""
    figure, axis = plt.subplots(figsize=(7, 3.5))
    axis.semilogx(curve.lrs, curve.losses, color=COLOURS[0])
    axis.axvline(curve.suggestion, color=COLOURS[1], linestyle="--")
    place = (curve.suggestion, curve.losses.max())
    axis.annotate(f" steepest at {curve.suggestion:.1e}", place, color=COLOURS[1], va="top")
    axis.set(xlabel="learning rate", ylabel="smoothed training loss")
    return figure


@styled
def plot_lr_schedule(rates: np.ndarray, *, num_epochs: int) -> Figure:
    """The learning rate over a run, float (steps, groups): the head's, and the lowest block's if another."""
    epochs = np.arange(1, len(rates) + 1) * num_epochs / len(rates)
    figure, axis = plt.subplots(figsize=(7, 2.8))
    axis.plot(epochs, rates[:, -1], color=COLOURS[0], linewidth=2, label="head")
    if not np.allclose(rates[:, 0], rates[:, -1]):
        axis.plot(epochs, rates[:, 0], "--", color=COLOURS[1], linewidth=2, label="lowest block")
        axis.legend()
    axis.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    return figure


@styled
def plot_losses(panels: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Losses of `trace_losses` over the epochs, float (E,) by name: a panel a run, by title, on one scale."""
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.1), sharey=True, squeeze=False)
    for axis, (name, losses) in zip(axes.flat, panels.items(), strict=True):
        for (label, values, colour), marker in zip(with_colours(losses), "os^Dv", strict=False):
            epochs = np.arange(1, len(values) + 1)
            axis.plot(epochs, values, f"{marker}-", color=colour, label=label, markersize=4)
        axis.set(xlabel="epoch", title=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
    highest = max(float(np.max(values)) for losses in panels.values() for values in losses.values())
    axes[0, 0].set(ylabel="cross-entropy loss", ylim=(0, 1.08 * highest))
    axes[0, 0].legend(fontsize=9)
    return figure


@styled
def plot_ablation(summaries: list[Summary]) -> Figure:
    """AUROC of each row on plain validation, stressed validation and test: a dot a seed, a bar the mean."""
    kinds = {"validation": "val_auroc", "stressed validation": "stress_auroc", "official test": "test_auroc"}
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.42 * len(summaries)))
    for (label, name, colour), offset in zip(with_colours(kinds), (-0.22, 0, 0.22), strict=True):
        means, places = [summary.mean[name] for summary in summaries], np.arange(len(summaries)) + offset
        axis.scatter(means, places, marker="|", s=110, linewidths=2.5, color=colour, label=label)
        for place, summary in zip(places, summaries, strict=True):
            values = [get_figures(record)[name] for record in summary.records]
            axis.scatter(values, np.full(len(values), place), s=12, color=colour, alpha=0.55)
    name_rows(axis, [summary.row for summary in summaries])
    axis.set_xlabel("AUROC")
    figure.legend(ncols=3, loc="outside lower center")
    return figure
