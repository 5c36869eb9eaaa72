"""Curves over all thresholds, with the uncertainty that a test set of this size leaves."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from pneumo_utils.evaluation.bands import Band, compute_precision_recall_band, compute_roc_band
from pneumo_utils.evaluation.metrics import Predictions, compute_metrics
from pneumo_utils.evaluation.pairwise import Comparison
from pneumo_utils.evaluation.plots.style import COLOURS, STYLE, mark_synthetic
from pneumo_utils.evaluation.reliability import (
    compute_chance_ece,
    compute_decision_curve,
    compute_reliability,
)


def plot_roc(
    predictions: dict[str, Predictions],
    *,
    thresholds: dict[str, float],
    title: str,
    synthetic: bool = False,
) -> Figure:
    """ROC curves of several models with their 95 % bands, each with a mark at its threshold.

    Args:
        predictions: By model name, on the same films of both classes; those of one patient get no band.
        thresholds: By model name.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.6, 5.0), layout="constrained")
        for (name, p), colour in zip(predictions.items(), COLOURS, strict=False):
            if p.num_patients > 1:
                _shade(axis, compute_roc_band(p), colour)
            false_alarms, sensitivity, _ = roc_curve(p.labels, p.probs)
            figures = compute_metrics(p.labels, p.probs, threshold=thresholds[name])
            axis.plot(false_alarms, sensitivity, color=colour, label=f"{name}, AUROC {figures['auroc']:.3f}")
            axis.plot(1 - figures["specificity"], figures["sensitivity"], "o", color=colour, markersize=9)
        axis.plot([0, 1], [0, 1], ":", color="0.5", label="chance")
        axis.set(
            xlabel="false alarms: 1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1), ylim=(0, 1.02)
        )
        axis.set_title(mark_synthetic(title, synthetic))
        mark = "dot: the threshold chosen on validation"
        axis.legend(loc="lower right", title=mark, fontsize=9, title_fontsize=9)
    return figure


def plot_precision_recall(
    predictions: dict[str, Predictions], *, title: str, synthetic: bool = False
) -> Figure:
    """Precision over recall of several models, with their 95 % bands.

    Args:
        predictions: By model name, on the same films of both classes and of two patients or more.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.6, 5.0), layout="constrained")
        for (name, p), colour in zip(predictions.items(), COLOURS, strict=False):
            band = compute_precision_recall_band(p)
            _shade(axis, band, colour)
            auprc = compute_metrics(p.labels, p.probs, threshold=0.5)["auprc"]
            axis.step(band.x, band.value, where="pre", color=colour, label=f"{name}, AUPRC {auprc:.3f}")
        share = float(np.mean(next(iter(predictions.values())).labels))
        axis.axhline(share, linestyle=":", color="0.5", label=f"chance: {share:.0%} of the films are ill")
        axis.set(xlabel="recall: share of the ill that is found", xlim=(0, 1.01), ylim=(0, 1.02))
        axis.set_ylabel("precision: share of the alarms that is right")
        axis.set_title(mark_synthetic(title, synthetic))
        axis.legend(loc="lower left", fontsize=9)
    return figure


def _shade(axis: Axes, band: Band, colour: str) -> None:
    axis.fill_between(band.x, band.low, band.high, color=colour, alpha=0.15, linewidth=0)


def plot_reliability(predictions: dict[str, Predictions], *, title: str, synthetic: bool = False) -> Figure:
    """How often films of a stated probability are ill, with Wilson's 95 % intervals.

    Args:
        predictions: By model name.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.6, 5.0), layout="constrained")
        axis.plot([0, 1], [0, 1], ":", color="0.5", label="taken at its word")
        for (name, p), colour in zip(predictions.items(), COLOURS, strict=False):
            bins = compute_reliability(p)
            mean, share = (np.array([getattr(b, field) for b in bins]) for field in ("mean_prob", "share"))
            ends = np.abs([[b.low for b in bins], [b.high for b in bins]] - share)
            ece = compute_metrics(p.labels, p.probs, threshold=0.5)["ece"]
            label = f"{name}, ECE {ece:.3f} (by chance alone {compute_chance_ece(p):.3f})"
            axis.errorbar(
                mean, share, yerr=ends, fmt="o-", markersize=5, capsize=2, color=colour, label=label
            )
        axis.set(xlabel="P(pneumonia) that the model states", ylabel="share of these films that is ill")
        axis.set_title(mark_synthetic(title, synthetic))
        figure.legend(loc="outside lower center", fontsize=9)
    return figure


def plot_decision_curve(
    predictions: dict[str, Predictions], *, title: str, synthetic: bool = False
) -> Figure:
    """Net benefit of acting on each model, against treating all and treating none.

    Args:
        predictions: By model name, on the same films.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
        for (name, p), colour in zip(predictions.items(), COLOURS, strict=False):
            curve = compute_decision_curve(p)
            axis.plot(curve.thresholds, curve.model, color=colour, label=name)
        axis.plot(curve.thresholds, curve.treat_all, "--", color="0.4", label="treat all")
        axis.axhline(0, linestyle=":", color="0.4", label="treat none")
        top = float(np.mean(next(iter(predictions.values())).labels))
        axis.set(xlabel="probability from which one would treat", ylim=(-0.1, 1.1 * top + 0.02))
        axis.set_ylabel("net benefit,\nfound pneumonias per film")
        axis.set_title(mark_synthetic(title, synthetic))
        axis.legend(fontsize=9, loc="lower left")
    return figure


def plot_comparisons(comparisons: list[Comparison], *, title: str, synthetic: bool = False) -> Figure:
    """The difference of each pair of models with its interval; real ones filled, the others hollow.

    Args:
        comparisons: From `compare_all`.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        height = 1.3 + 0.45 * len(comparisons)
        figure, axis = plt.subplots(figsize=(8, height), layout="constrained")
        for place, row in enumerate(comparisons):
            d, colour = row.difference, COLOURS[0 if row.difference.metric == "auroc" else 1]
            axis.plot([d.low, d.high], [place, place], color=colour)
            axis.plot(d.value, place, "o", color=colour, fillstyle="full" if row.is_real else "none")
        axis.axvline(0, color="0.5", linestyle=":")
        names = [f"{row.difference.metric}: {row.second}\nminus {row.first}" for row in comparisons]
        axis.set_yticks(range(len(comparisons)), names, fontsize=9)
        axis.set(xlabel="difference with its 95 % interval", ylim=(len(comparisons) - 0.5, -0.5))
        axis.set_title(mark_synthetic(title, synthetic))
    return figure
