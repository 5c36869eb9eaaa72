"""Figures of an evaluation: curves, confusion, probabilities, published models."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.evaluation.compare import Comparison
from pneumo_utils.evaluation.curves import (
    Band,
    compute_chance_ece,
    compute_decision_curve,
    compute_precision_recall_band,
    compute_reliability,
    compute_roc_band,
)
from pneumo_utils.evaluation.metrics import Predictions, compute_highest_accuracy, compute_metrics
from pneumo_utils.evaluation.results import PUBLISHED
from pneumo_utils.plots.style import COLOURS, STYLE, mark_synthetic
from pneumo_utils.training.thresholds import ReferBand


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


TITLE = "The official test split: ours with 95 % intervals, beside published figures"


def plot_beside_published(rows: list[dict], *, title: str = TITLE) -> Figure:
    """Accuracy and AUROC on the official test split: ours with 95 % intervals, published ones as dots.

    Args:
        rows: Of the official test split, 1 or more, from `evaluate`.
        title: Of the figure.
    """
    names = [f"ours: {row['model']}" for row in rows] + [other.name for other in PUBLISHED]
    with plt.rc_context(STYLE):
        size = (10, 1.3 + 0.36 * len(names))
        figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
        for axes, metric, form in ((left, "accuracy", ".1%"), (right, "auroc", ".3f")):
            for place, row in enumerate(rows):
                axes.plot(row["intervals"][metric], [place, place], color=COLOURS[0])
                _mark(axes, place, row[metric], form, COLOURS[0])
            for place, other in enumerate(PUBLISHED, start=len(rows)):
                _mark(axes, place, getattr(other, metric), form, "0.45")
            axes.margins(x=0.1)  # room for the numbers
        left.xaxis.set_major_formatter(lambda share, _position: f"{100 * share:.0f}")
        left.set(xlabel="accuracy %", yticks=range(len(names)), yticklabels=names)
        left.set_ylim(len(names) - 0.4, -0.8)
        right.set(xlabel="AUROC")
        figure.suptitle(title, fontsize=12)
    return figure


def _mark(axes: Axes, place: int, value: float, form: str, colour: str) -> None:
    axes.plot(value, place, "o", color=colour)
    axes.annotate(
        f"{value:{form}}", (value, place), (0, 6), textcoords="offset points", ha="center", fontsize=9
    )
