"""What a model says of films whose labels are known."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.evaluation.metrics import Predictions, compute_highest_accuracy, compute_metrics
from pneumo_utils.evaluation.plots.style import COLOURS, STYLE, mark_synthetic
from pneumo_utils.training.refer_band import ReferBand

PROB_BINS = np.linspace(0, 1, 31)


def plot_confusion(
    predictions: Predictions, *, threshold: float, title: str, synthetic: bool = False
) -> Figure:
    """The four kinds of outcome as a table of counts and shares of the true class."""
    confusion = compute_metrics(predictions.labels, predictions.probs, threshold=threshold)["confusion"]
    counts = np.array([[confusion["tn"], confusion["fp"]], [confusion["fn"], confusion["tp"]]])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    texts = [
        [f"{n}\n{share:.1%}" for n, share in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axis = plt.subplots(figsize=(4.2, 3.6))
        sns.heatmap(
            shares,
            annot=texts,
            fmt="",
            cmap="Blues",
            vmin=0,
            vmax=1,
            cbar=False,
            ax=axis,
            xticklabels=CLASS_NAMES,
            yticklabels=CLASS_NAMES,
            annot_kws={"fontsize": 12},
        )
        axis.set(xlabel=f"the model says (threshold {threshold:.3f})", ylabel="label")
        axis.set_title(mark_synthetic(title, synthetic))
    return figure


def plot_probs(predictions: Predictions, *, threshold: float, title: str, synthetic: bool = False) -> Figure:
    """How a model's probabilities are spread in each class, with its threshold."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.5, 3.2))
        for label, name in enumerate(CLASS_NAMES):
            axis.hist(
                predictions.probs[predictions.labels == label],
                PROB_BINS,
                color=COLOURS[label],
                alpha=0.6,
                label=name,
            )
        axis.axvline(threshold, color="0.2", linestyle="--", label=f"threshold {threshold:.3f}")
        axis.set(xlabel="P(pneumonia)", ylabel="films")
        axis.set_title(mark_synthetic(title, synthetic))
        axis.legend()
    return figure


def plot_refer_bands(
    bands: list[ReferBand], predictions: Predictions, *, title: str, synthetic: bool = False
) -> Figure:
    """Where films go to a person: the probabilities of each class, a panel for each band.

    Args:
        bands: From `fit_refer_band`, 1 or more.
        predictions: Of films that they were not fitted on.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        size = (3.3 * len(bands), 3.2)
        figure, axes = plt.subplots(
            1, len(bands), figsize=size, sharey=True, squeeze=False, layout="constrained"
        )
        for axis, band in zip(axes[0], bands, strict=True):
            for label, name in enumerate(CLASS_NAMES):
                shown = predictions.probs[predictions.labels == label]
                axis.hist(shown, PROB_BINS, color=COLOURS[label], alpha=0.6, label=name)
            ends = band.limits[0], 1 - band.limits[1]  # of NORMAL's range and of PNEUMONIA's
            axis.axvspan(min(ends), max(ends), color="0.6", alpha=0.5, label="to a person")
            kind = "both classes" if ends[1] <= ends[0] else "no class"
            axis.set_title(f"{band.alpha:.0%} stated: {min(ends):.3f} to {max(ends):.3f},\n{kind} in the set")
            axis.set(xlabel="P(pneumonia)", xlim=(0, 1), yscale="symlog")
        axes[0, 0].set_ylabel("films, logarithmic")
        figure.suptitle(mark_synthetic(title, synthetic), fontsize=12)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def plot_positions(
    predictions: dict[str, Predictions], *, threshold: float, title: str, synthetic: bool = False
) -> Figure:
    """Where the probabilities of several sets of films lie about one threshold, one panel a set.

    Above each panel: how well its films are ranked, which no threshold enters, the accuracy at this
    threshold, and the highest accuracy that any threshold gives.

    Args:
        predictions: By the name of the set.
        threshold: Call it pneumonia when prob >= threshold.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        size = (4.8 * len(predictions), 3.4)
        figure, axes = plt.subplots(1, len(predictions), figsize=size, squeeze=False, layout="constrained")
        for axis, (name, p) in zip(axes.flat, predictions.items(), strict=True):
            for label, kind in enumerate(CLASS_NAMES):
                axis.hist(p.probs[p.labels == label], PROB_BINS, color=COLOURS[label], alpha=0.6, label=kind)
            axis.axvline(threshold, color="0.2", linestyle="--", label=f"threshold {threshold:g}")
            figures = compute_metrics(p.labels, p.probs, threshold=threshold)
            highest = compute_highest_accuracy(p.labels, p.probs)
            axis.set_title(
                f"{name}: AUROC {figures['auroc']:.2f}\n"
                f"accuracy {figures['accuracy']:.0%}, at the best threshold {highest:.0%}",
                fontsize=10,
            )
            axis.set(xlabel="P(pneumonia)", ylabel="films")
        axes[0, 0].legend(fontsize=9)
        figure.suptitle(mark_synthetic(title, synthetic), fontsize=12)
    return figure
