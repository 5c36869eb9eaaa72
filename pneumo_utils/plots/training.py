"""How a training went, and how recipes compare."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pneumo_utils.evaluation.results import Summary, get_figures
from pneumo_utils.plots.style import COLOURS, STYLE, mark_synthetic
from pneumo_utils.training.lr_finder import LrCurve
from pneumo_utils.training.resume import EpochRecord


def plot_history(history: list[EpochRecord], *, title: str, synthetic: bool = False) -> Figure:
    """Loss on training and validation films, and validation AUROC, epoch by epoch."""
    epochs = [record.epoch for record in history]
    best = [record for record in history if record.is_best][-1]
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
        left.plot(epochs, [r.train_loss for r in history], "o-", color=COLOURS[0], label="train, augmented")
        left.plot(epochs, [r.val_loss for r in history], "s-", color=COLOURS[1], label="validation")
        left.set(xlabel="epoch", ylabel="loss", title=mark_synthetic(f"{title}: loss", synthetic))
        left.legend()
        right.plot(epochs, [r.val_auroc for r in history], "s-", color=COLOURS[1], label="plain films")
        right.plot(epochs, [r.stress_auroc for r in history], "^-", color=COLOURS[2], label="stressed films")
        right.axvline(best.epoch, color="0.5", linestyle=":", label=f"kept: epoch {best.epoch}")
        right.set(
            xlabel="epoch", ylabel="AUROC", title=mark_synthetic(f"{title}: validation AUROC", synthetic)
        )
        right.legend(loc="lower right")
        for axis in (left, right):
            axis.xaxis.get_major_locator().set_params(integer=True)
        figure.tight_layout()
    return figure


def plot_lr_curve(curve: LrCurve, *, title: str, synthetic: bool = False) -> Figure:
    """The loss over the rising learning rate, with the rate that is suggested.

    Args:
        curve: From `find_lr`.
        title: Of the figure.
        synthetic: Whether phantoms are behind it.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
        axes.semilogx(curve.lrs, curve.losses, color=COLOURS[0])
        axes.axvline(curve.suggestion, color=COLOURS[1], linestyle="--")
        axes.annotate(f" steepest at {curve.suggestion:.1e}", (curve.suggestion, curve.losses.max()),
                      color=COLOURS[1], va="top")  # fmt: skip
        axes.set(xlabel="learning rate", ylabel="smoothed training loss")
        axes.set_title(mark_synthetic(title, synthetic))
    return figure


def plot_lr_schedule(rates: np.ndarray, *, num_epochs: int, title: str) -> Figure:
    """The learning rate over a run: the head's, and the lowest block's where that is another.

    Args:
        rates: float (steps, groups), from `trace_rates`.
        num_epochs: Epochs of the run.
        title: Of the figure.
    """
    epochs = np.arange(1, len(rates) + 1) * num_epochs / len(rates)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
        axes.plot(epochs, rates[:, -1], color=COLOURS[0], linewidth=2, label="head")
        if not np.allclose(rates[:, 0], rates[:, -1]):
            axes.plot(epochs, rates[:, 0], "--", color=COLOURS[1], linewidth=2, label="lowest block")
            axes.legend()
        axes.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        axes.set_title(title)
    return figure


def plot_losses(panels: dict[str, dict[str, np.ndarray]], *, title: str, synthetic: bool = False) -> Figure:
    """The loss of several sets of films over the epochs, one panel a run, on one scale.

    Args:
        panels: By the title of each panel what `trace_losses` gave: losses, float (E,), by name.
        title: Of the figure.
        synthetic: Whether phantoms are behind it.
    """
    with plt.rc_context(STYLE):
        size = (4.6 * len(panels), 3.4)
        figure, axes = plt.subplots(
            1, len(panels), figsize=size, sharey=True, squeeze=False, layout="constrained"
        )
        for axis, (name, losses) in zip(axes.flat, panels.items(), strict=True):
            for (label, values), colour, marker in zip(losses.items(), COLOURS, "os^Dv", strict=False):
                epochs = np.arange(1, len(values) + 1)
                axis.plot(epochs, values, f"{marker}-", color=colour, label=label, markersize=4)
            axis.set(xlabel="epoch", title=name)
            axis.xaxis.get_major_locator().set_params(integer=True)
        highest = max(float(np.max(values)) for losses in panels.values() for values in losses.values())
        axes[0, 0].set(ylabel="cross-entropy loss", ylim=(0, 1.08 * highest))
        axes[0, 0].legend(fontsize=9)
        figure.suptitle(mark_synthetic(title, synthetic), fontsize=12)
    return figure


def plot_ablation(summaries: list[Summary], *, title: str) -> Figure:
    """AUROC of each row on plain validation, stressed validation and test: a dot a seed, a bar the mean.

    Args:
        summaries: From `summarise`, in the order from top to bottom.
        title: Of the figure.
    """
    kinds = {"val_auroc": "validation", "stress_auroc": "stressed validation", "test_auroc": "official test"}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 1.2 + 0.42 * len(summaries)), layout="constrained")
        for offset, colour, (name, label) in zip((-0.22, 0, 0.22), COLOURS, kinds.items(), strict=False):
            places = np.arange(len(summaries)) + offset
            axes.scatter([summary.mean[name] for summary in summaries], places, marker="|", s=110,
                         linewidths=2.5, color=colour, label=label)  # fmt: skip
            for place, summary in zip(places, summaries, strict=True):
                values = [get_figures(record)[name] for record in summary.records]
                axes.scatter(values, np.full(len(values), place), s=12, color=colour, alpha=0.55)
        axes.set_yticks(range(len(summaries)), [summary.row for summary in summaries])
        axes.invert_yaxis()
        axes.set(xlabel="AUROC")
        axes.set_title(title, pad=28)
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    return figure
