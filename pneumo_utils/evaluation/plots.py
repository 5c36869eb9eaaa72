"""Figures, all of one family: a colour-blind safe palette, labels with units, SYNTHETIC where it is."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation.ablation import Summary, get_figures
from pneumo_utils.evaluation.metrics import Predictions, compute_metrics
from pneumo_utils.training.history import EpochRecord
from pneumo_utils.training.lr_finder import LrCurve

# Okabe and Ito's palette: blue for NORMAL and the first curve, vermilion for PNEUMONIA and the second.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLE = {
    "figure.dpi": 80,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def mark_synthetic(text: str, synthetic: bool) -> str:
    """A title, marked where phantoms are behind the figure."""
    return f"SYNTHETIC: {text}" if synthetic else text


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG; the folder is made on demand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    return path


def show_films(
    dataset: XrayDataset,
    index,
    *,
    titles: list[str] | None = None,
    columns: int = 6,
) -> Figure:
    """A sheet of films.

    Args:
        dataset: Where the films are.
        index: Which ones, ints.
        titles: One text a film; its class if None.
        columns: Films in a row.
    """
    index = np.asarray(index)
    rows = -(-len(index) // columns)
    with plt.rc_context(STYLE):
        size = (1.5 * columns, 1.8 * rows + 0.4 * dataset.is_synthetic)  # the mark takes a line of its own
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for position, film in enumerate(index):
            axis, label = axes.flat[position], dataset.labels[film]
            axis.imshow(dataset.images[film], cmap="gray", vmin=0, vmax=255)
            text = titles[position] if titles else CLASS_NAMES[label]
            axis.set_title(text, fontsize=8, color=COLOURS[label])
        if dataset.is_synthetic:
            figure.suptitle("SYNTHETIC films", fontsize=11)
        figure.tight_layout()
    return figure


def show_batch(levels, *, columns: int = 6, title: str = "One batch", synthetic: bool = False) -> Figure:
    """A sheet of the films of a batch as the network gets them.

    Args:
        levels: float (B, 1, H, W), grey levels in 0 to 1.
        columns: Films in a row.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    films = levels.detach().cpu().numpy()[:, 0]
    rows = -(-len(films) // columns)
    with plt.rc_context(STYLE):
        size = (1.4 * columns, 1.45 * rows + 0.4)  # the title takes a line of its own
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for axis, film in zip(axes.flat, films, strict=False):
            axis.imshow(film, cmap="gray", vmin=0, vmax=1)
        figure.suptitle(mark_synthetic(title, synthetic), fontsize=12)
        figure.tight_layout()
    return figure


def plot_class_counts(datasets: list[XrayDataset]) -> Figure:
    """Films of each class in each split, as bars with their numbers."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.5, 3.2))
        for label, name in enumerate(CLASS_NAMES):
            counts = [dataset.class_counts()[name] for dataset in datasets]
            places = np.arange(len(datasets)) + 0.4 * (label - 0.5)
            bars = axis.bar(places, counts, width=0.38, color=COLOURS[label], label=name)
            axis.bar_label(bars)
        axis.set_xticks(np.arange(len(datasets)), [dataset.split for dataset in datasets])
        axis.set_ylabel("films")
        axis.set_title(mark_synthetic("Films of each class in each split", datasets[0].is_synthetic))
        axis.legend()
    return figure


def plot_intensities(dataset: XrayDataset) -> Figure:
    """How the mean grey level of a film is spread in each class."""
    means = dataset.images.mean((1, 2))
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.5, 3.2))
        for label, name in enumerate(CLASS_NAMES):
            sns.kdeplot(means[dataset.labels == label], ax=axis, color=COLOURS[label], fill=True, label=name)
        axis.set_xlabel("mean grey level of the film, 0 (black) to 255 (white)")
        axis.set_ylabel("density")
        axis.set_title(mark_synthetic(f"Brightness by class, {dataset.split} split", dataset.is_synthetic))
        axis.legend()
    return figure


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


def plot_roc(
    predictions: dict[str, Predictions], *, thresholds: dict[str, float], title: str, synthetic: bool = False
) -> Figure:
    """ROC curves of several models, each with a mark at its threshold.

    Args:
        predictions: By model name, on the same films.
        thresholds: By model name.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 4.6))
        for (name, p), colour in zip(predictions.items(), COLOURS, strict=False):
            false_alarms, sensitivity, _ = roc_curve(p.labels, p.probs)
            figures = compute_metrics(p.labels, p.probs, threshold=thresholds[name])
            axis.plot(false_alarms, sensitivity, color=colour, label=f"{name}, AUROC {figures['auroc']:.3f}")
            axis.plot(1 - figures["specificity"], figures["sensitivity"], "o", color=colour, markersize=9)
        axis.plot([0, 1], [0, 1], ":", color="0.5", label="chance")
        axis.set(
            xlabel="false alarms: 1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1), ylim=(0, 1.02)
        )
        axis.set_title(mark_synthetic(title, synthetic))
        mark = "the dot is the threshold chosen on validation"
        axis.legend(loc="lower right", title=mark, fontsize=9, title_fontsize=9)
    return figure


def plot_probs(predictions: Predictions, *, threshold: float, title: str, synthetic: bool = False) -> Figure:
    """How a model's probabilities are spread in each class, with its threshold."""
    bins = np.linspace(0, 1, 31)
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.5, 3.2))
        for label, name in enumerate(CLASS_NAMES):
            axis.hist(
                predictions.probs[predictions.labels == label],
                bins,
                color=COLOURS[label],
                alpha=0.6,
                label=name,
            )
        axis.axvline(threshold, color="0.2", linestyle="--", label=f"threshold {threshold:.3f}")
        axis.set(xlabel="P(pneumonia)", ylabel="films")
        axis.set_title(mark_synthetic(title, synthetic))
        axis.legend()
    return figure
