"""Figures of an evaluation: curves, confusion, probabilities, robustness, subgroups."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix, precision_recall_curve, roc_curve

from pneumo_utils.config import CLASS_COLOURS, CLASS_NAMES, expect
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation import curves, robustness
from pneumo_utils.evaluation.compare import Comparison
from pneumo_utils.evaluation.metrics import Predictions, compute_highest_accuracy, compute_metrics
from pneumo_utils.evaluation.subgroups import FIGURES
from pneumo_utils.plots.films import GREY
from pneumo_utils.plots.style import draw_interval, name_rows, set_title, styled, with_colours


@styled
def plot_roc(predictions: dict[str, Predictions], *, thresholds: dict[str, float]) -> Figure:
    """ROC curves of models on the same films, by name, with bands (not of one patient) and thresholds."""
    figure, axis = plt.subplots(figsize=(5.6, 5.0))
    for name, p, colour in with_colours(predictions):
        if p.num_patients > 1:
            band = curves.compute_roc_band(p)
            axis.fill_between(band.x, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
        false_alarms, sensitivity, _ = roc_curve(p.labels, p.probs)
        figures = compute_metrics(p.labels, p.probs, threshold=thresholds[name])
        axis.plot(false_alarms, sensitivity, color=colour, label=f"{name}, AUROC {figures['auroc']:.3f}")
        axis.plot(1 - figures["specificity"], figures["sensitivity"], "o", color=colour, markersize=9)
    axis.plot([0, 1], [0, 1], ":", color="0.5", label="chance")
    axis.set(xlabel="false alarms: 1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1), ylim=(0, 1.02))
    mark = "dot: the threshold chosen on validation"
    axis.legend(loc="lower right", title=mark, fontsize=9, title_fontsize=9)
    return figure


@styled
def plot_precision_recall(predictions: dict[str, Predictions]) -> Figure:
    """Precision over recall, by model name, on the same films."""
    figure, axis = plt.subplots(figsize=(5.6, 5.0))
    for name, p, colour in with_colours(predictions):
        precision, recall, _ = precision_recall_curve(p.labels, p.probs)
        auprc = compute_metrics(p.labels, p.probs, threshold=0.5)["auprc"]
        axis.step(recall, precision, where="post", color=colour, label=f"{name}, AUPRC {auprc:.3f}")
    share = float(np.mean(p.labels))
    axis.axhline(share, linestyle=":", color="0.5", label=f"chance: {share:.0%} are PNEUMONIA")
    axis.set(xlabel="recall: share of the PNEUMONIA films found", xlim=(0, 1.01), ylim=(0, 1.02))
    axis.set_ylabel("precision: share of the alarms that are right")
    axis.legend(loc="lower left", fontsize=9)
    return figure


@styled
def plot_reliability(predictions: dict[str, Predictions]) -> Figure:
    """Reliability diagram: observed shares of PNEUMONIA over predictions, with Wilson's 95 % intervals."""
    figure, axis = plt.subplots(figsize=(5.6, 5.0))
    axis.plot([0, 1], [0, 1], ":", color="0.5", label="perfect calibration")
    for name, p, colour in with_colours(predictions):
        band = curves.compute_reliability(p)
        ends = np.abs([band.low, band.high] - band.value)
        look = {"fmt": "o-", "markersize": 5, "capsize": 2, "color": colour}
        ece = compute_metrics(p.labels, p.probs, threshold=0.5)["ece"]
        label = f"{name}, ECE {ece:.3f} (by chance alone {curves.compute_chance_ece(p):.3f})"
        axis.errorbar(band.x, band.value, yerr=ends, label=label, **look)
    axis.set(xlabel="predicted P(pneumonia)", ylabel="observed share of PNEUMONIA")
    figure.legend(loc="outside lower center", fontsize=9)
    return figure


@styled
def plot_decision_curve(predictions: dict[str, Predictions]) -> Figure:
    """Net benefit of acting on each model, against treating all and treating none."""
    figure, axis = plt.subplots(figsize=(6.5, 3.6))
    for name, p, colour in with_colours(predictions):
        benefit, of_treating_all = curves.compute_decision_curve(p)
        axis.plot(curves.THRESHOLD_GRID, benefit, color=colour, label=name)
    axis.plot(curves.THRESHOLD_GRID, of_treating_all, "--", color="0.4", label="treat all")
    axis.axhline(0, linestyle=":", color="0.4", label="treat none")
    axis.set(xlabel="probability from which one would treat", ylim=(-0.1, 1.1 * np.mean(p.labels) + 0.02))
    axis.set_ylabel("net benefit,\nfound pneumonias per film")
    axis.legend(fontsize=9, loc="lower left")
    return figure


@styled
def plot_comparisons(comparisons: list[Comparison]) -> Figure:
    """The differences of `compare_all` with their intervals; real ones filled, the others hollow."""
    figure, axis = plt.subplots(figsize=(8, 1.3 + 0.45 * len(comparisons)))
    for place, row in enumerate(comparisons):
        d = row.difference
        draw_interval(axis, place, d.value, interval=(d.low, d.high), colour="0.2", filled=row.is_real)
    axis.axvline(0, color="0.5", linestyle=":")
    names = [f"{row.difference.metric}: {row.second}\nminus {row.first}" for row in comparisons]
    name_rows(axis, names, fontsize=9)
    axis.set_xlabel("difference with its 95 % interval")
    return figure


@styled
def plot_confusion(predictions: Predictions, *, threshold: float) -> Figure:
    """Confusion matrix: the four kinds of outcome as counts and shares of the true class."""
    counts = confusion_matrix(predictions.labels, predictions.probs >= threshold, labels=[0, 1])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axis = plt.subplots(figsize=(4.2, 3.6))
    axis.grid(False)
    display = ConfusionMatrixDisplay(shares, display_labels=CLASS_NAMES)
    display.plot(ax=axis, cmap="Blues", colorbar=False, im_kw={"vmin": 0, "vmax": 1, "aspect": "auto"})
    for place, text in np.ndenumerate(display.text_):
        text.set(text=f"{counts[place]}\n{shares[place]:.1%}", fontsize=12)
    axis.set(xlabel=f"prediction (threshold {threshold:.3f})", ylabel="label")
    return figure


def _draw_probs(axis: Axes, predictions: Predictions, *, threshold: float | None = None) -> None:
    for label, name in enumerate(CLASS_NAMES):
        probs = predictions.probs[predictions.labels == label]
        axis.hist(probs, np.linspace(0, 1, 31).tolist(), color=CLASS_COLOURS[label], alpha=0.6, label=name)
    if threshold is not None:
        axis.axvline(threshold, color="0.2", linestyle="--", label=f"threshold {threshold:.3f}")
    axis.set_xlabel("P(pneumonia)")


@styled
def plot_probs(predictions: Predictions, *, threshold: float) -> Figure:
    """How a model's probabilities are spread in each class, with its threshold."""
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    _draw_probs(axis, predictions, threshold=threshold)
    axis.set_ylabel("films")
    axis.legend()
    return figure


@styled
def plot_positions(predictions: dict[str, Predictions], *, threshold: float) -> Figure:
    """Where the probabilities of sets of films lie about one threshold, and about the best, a panel a set."""
    figure, axes = plt.subplots(1, len(predictions), figsize=(4.8 * len(predictions), 3.1), squeeze=False)
    for axis, (name, p) in zip(axes.flat, predictions.items(), strict=True):
        _draw_probs(axis, p, threshold=threshold)
        figures = compute_metrics(p.labels, p.probs, threshold=threshold)
        highest = compute_highest_accuracy(p.labels, p.probs)
        title = f"{name}: AUROC {figures['auroc']:.2f}\n"
        title += f"accuracy {figures['accuracy']:.0%}, at the best threshold {highest:.0%}"
        axis.set_title(title, fontsize=10)
        axis.set_ylabel("films")
    axes[0, 0].legend(fontsize=9)
    return figure


@styled
def plot_corruption_curves(curves: dict[str, dict[str, list[dict]]], *, metric: str = "auroc") -> Figure:
    """A metric of `CURVE_FIGURES` over severity, a panel for each corruption and a line for each model.

    The curves are those of `compute_corruption_curves`, by model name; unlike ones are a UsageError. Where
    the metric is None the line has a gap; AUROC may hold where the threshold no longer fits.
    """
    known = robustness.CURVE_FIGURES
    expect(metric in known, "The metric", repr(metric), f"one of {', '.join(known)}")
    alike = [{name: [r["severity"] for r in rows] for name, rows in c.items()} for c in curves.values()]
    if not alike or not alike[0] or any(other != alike[0] for other in alike):
        raise UsageError("The curves differ in corruptions or severities, or are empty; compute them alike.")
    names = list(alike[0])
    rows = -(-len(names) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(10, 0.5 + 2.5 * rows), sharey=True, squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        for model, curve, colour in with_colours(curves):
            values = [np.nan if row[metric] is None else row[metric] for row in curve[name]]
            severities = [row["severity"] for row in curve[name]]
            axis.plot(severities, values, "o-", color=colour, markersize=4, label=model)
        strengths = ["as is" if row["strength"] is None else f"{row['strength']:g}" for row in curve[name]]
        axis.set_xticks(severities, [f"{s}\n{text}" for s, text in zip(severities, strengths, strict=True)])
        axis.set_title(name)
        axis.set_xlabel(robustness.CORRUPTIONS[name].unit, fontsize=9)
    for axis in axes[:, 0]:
        axis.set_ylabel("AUROC" if metric == "auroc" else metric)
    lines, note = axes[0, 0].get_legend_handles_labels(), "under each panel the severity and its strength"
    figure.legend(*lines, title=note, title_fontsize=9, loc="outside lower center", ncols=3, fontsize=10)
    return figure


@styled
def plot_corruptions(dataset: XrayDataset, index: int) -> Figure:
    """One film under each corruption, a column each, a row for each severity, its strength below it."""
    film, severities = dataset.images[[index]], (0, 1, 3, 5)
    size = (1.5 * len(robustness.CORRUPTIONS) + 0.4, 1.75 * len(severities) + 0.25)
    figure, axes = plt.subplots(len(severities), len(robustness.CORRUPTIONS), figsize=size, squeeze=False)
    for column, (name, corruption) in zip(axes.T, robustness.CORRUPTIONS.items(), strict=True):
        column[0].set_title(name, fontsize=11)
        for axis, severity in zip(column, severities, strict=True):
            shown = robustness.corrupt_films(film, name, severity=severity) if severity else film
            axis.imshow(shown[0], **GREY)
            axis.set(xticks=[], yticks=[])
            if severity:
                axis.set_xlabel(f"{corruption.strengths[severity - 1]:g}", fontsize=9)
    for axis, severity in zip(axes[:, 0], severities, strict=True):
        axis.set_ylabel(f"severity {severity}" if severity else "as it is")
    set_title(figure, "One film, corrupted", synthetic=dataset.is_synthetic)
    return figure


@styled
def plot_subgroups(rows: list[dict]) -> Figure:
    """Sensitivity and specificity of the parts of `compute_subgroups`; hollow where there is no interval."""
    groupings = list(dict.fromkeys(row["grouping"] for row in rows))
    # A free line between groupings: the eye compares the parts of one, not those of two.
    places = np.array([place + groupings.index(row["grouping"]) for place, row in enumerate(rows)])
    figure, axis = plt.subplots(figsize=(8, 1.6 + 0.36 * (places[-1] + 1)))
    for (name, label), marker in zip(FIGURES.items(), "os", strict=True):
        look = {"colour": CLASS_COLOURS[label], "marker": marker}
        axis.plot([], [], marker, color=CLASS_COLOURS[label], label=name)
        for row, place in zip(rows, places + 0.24 * (0.5 - label), strict=True):
            if row[name] is not None:
                ends = row["intervals"][name]
                draw_interval(axis, place, row[name], interval=ends, filled=ends[0] is not None, **look)
    texts = [f"{row['grouping']}: {row['part']} (n = {row['n']})" for row in rows]
    axis.set_yticks(places, texts, fontsize=10)
    axis.set(xlabel="share judged rightly, with its 95 % interval by patient", xlim=(-0.02, 1.02))
    axis.set_ylim(places[-1] + 0.6, -0.6)
    figure.legend(loc="outside lower center", ncols=2, fontsize=10)
    return figure
