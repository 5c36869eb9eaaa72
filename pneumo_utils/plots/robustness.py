"""How a model bears films of other kinds: worse and worse ones, and parts of a split."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.robustness import CORRUPTIONS, CURVE_FIGURES, corrupt_films, require_corruptions
from pneumo_utils.evaluation.subgroups import FIGURES
from pneumo_utils.plots.style import COLOURS, STYLE, mark_synthetic


def plot_corruption_curves(
    curves: dict[str, dict[str, list[dict]]],
    *,
    title: str,
    metric: str = "auroc",
    synthetic: bool = False,
) -> Figure:
    """A figure over severity, a panel for each corruption and a line for each model.

    Args:
        curves: By model name, 1 to 6, each from `compute_corruption_curves` with the same corruptions and
            severities. Where the figure is None the line has a gap.
        title: Of the figure.
        metric: "auroc", "sensitivity" or "specificity"; AUROC may hold where the threshold no longer fits.
        synthetic: Whether to mark it.

    Raises:
        UsageError: There are no models or more than colours, their curves are of different corruptions or
            severities, or the metric is unknown.
    """
    names = _require_alike(curves, metric)
    rows = -(-len(names) // 3)
    with plt.rc_context(STYLE | {"figure.constrained_layout.use": True}):
        figure, axes = plt.subplots(rows, 3, figsize=(10, 0.8 + 2.5 * rows), sharey=True, squeeze=False)
        for axis in axes.flat[len(names) :]:
            axis.axis("off")
        for axis, name in zip(axes.flat, names, strict=False):
            _draw_panel(axis, name, {model: curve[name] for model, curve in curves.items()}, metric)
        for axis in axes[:, 0]:
            axis.set_ylabel("AUROC" if metric == "auroc" else metric)
        figure.suptitle(mark_synthetic(title, synthetic))
        lines, note = axes[0, 0].get_legend_handles_labels(), "under each panel the severity and its strength"
        figure.legend(*lines, title=note, title_fontsize=9, loc="outside lower center", ncols=3, fontsize=10)
    return figure


def _require_alike(curves: dict[str, dict[str, list[dict]]], metric: str) -> list[str]:
    """The corruptions of all curves, once it is sure that they can be drawn together."""
    if metric not in CURVE_FIGURES:
        raise UsageError(f"The metric is {metric!r}; expected one of {', '.join(CURVE_FIGURES)}.")
    if not 1 <= len(curves) <= len(COLOURS):
        raise UsageError(f"There are {len(curves)} models; expected 1 to {len(COLOURS)}, one a colour.")
    first, *others = (
        {name: [row["severity"] for row in rows] for name, rows in curve.items()} for curve in curves.values()
    )
    if not first or any(other != first for other in others):
        raise UsageError("The curves differ in corruptions or severities, or are empty; compute them alike.")
    return list(first)


def _draw_panel(axis: Axes, name: str, rows_by_model: dict[str, list[dict]], metric: str) -> None:
    for (model, rows), colour in zip(rows_by_model.items(), COLOURS, strict=False):
        severities = [row["severity"] for row in rows]
        values = [np.nan if row[metric] is None else row[metric] for row in rows]
        axis.plot(severities, values, "o-", color=colour, markersize=4, label=model)
    strengths = ["as is" if row["strength"] is None else f"{row['strength']:g}" for row in rows]
    axis.set_xticks(severities, [f"{s}\n{text}" for s, text in zip(severities, strengths, strict=True)])
    axis.set_title(name)
    axis.set_xlabel(CORRUPTIONS[name].unit, fontsize=9)


def plot_corruptions(
    dataset: XrayDataset,
    index: int,
    *,
    names: Iterable[str] | None = None,
    severities: Iterable[int] = (0, 1, 3, 5),
    title: str = "One film, corrupted",
    seed: int = 0,
) -> Figure:
    """One film under each corruption, a column each, a row for each severity, its strength below it.

    Args:
        dataset: Where the film is.
        index: Which one.
        names: Keys of `CORRUPTIONS`; all if None.
        severities: Each 0 (the film as it is) to 5.
        title: Of the figure.
        seed: Of the corruptions.

    Raises:
        UsageError: A name or a severity is unknown.
    """
    film = dataset.images[[index]]
    names, severities = list(CORRUPTIONS if names is None else names), list(severities)
    require_corruptions(names, (severity for severity in severities if severity != 0))
    size = (1.5 * len(names) + 0.4, 1.75 * len(severities) + 0.6)
    with plt.rc_context(STYLE | {"figure.constrained_layout.use": True}):
        figure, axes = plt.subplots(len(severities), len(names), figsize=size, squeeze=False)
        for row, severity in zip(axes, severities, strict=True):
            row[0].set_ylabel(f"severity {severity}" if severity else "as it is")
            for axis, name in zip(row, names, strict=True):
                shown = corrupt_films(film, name, severity=severity, seed=seed) if severity else film
                axis.imshow(shown[0], cmap="gray", vmin=0, vmax=255)
                axis.set(xticks=[], yticks=[])
                if severity:
                    axis.set_xlabel(f"{CORRUPTIONS[name].strengths[severity - 1]:g}", fontsize=9)
        for axis, name in zip(axes[0], names, strict=True):
            axis.set_title(name, fontsize=11)
        figure.suptitle(mark_synthetic(title, dataset.is_synthetic))
    return figure


def plot_subgroups(rows: list[dict], *, title: str, synthetic: bool = False) -> Figure:
    """Sensitivity and specificity of each part of a split with their 95 % intervals; hollow if without.

    Args:
        rows: From `compute_subgroups`, 1 or more.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    groupings = list(dict.fromkeys(row["grouping"] for row in rows))
    # A free line between groupings: the eye compares the parts of one, not those of two.
    places = np.array([place + groupings.index(row["grouping"]) for place, row in enumerate(rows)])
    with plt.rc_context(STYLE):
        size = (8, 1.6 + 0.36 * (places[-1] + 1))
        figure, axis = plt.subplots(figsize=size, layout="constrained")
        for (name, label), marker in zip(FIGURES.items(), "os", strict=True):
            axis.plot([], [], marker, color=COLOURS[label], label=name)
            for row, place in zip(rows, places + 0.24 * (0.5 - label), strict=True):
                interval, known = row["intervals"][name], row["intervals"][name][0] is not None
                if row[name] is not None:
                    fill = "full" if known else "none"
                    axis.plot(row[name], place, marker, color=COLOURS[label], fillstyle=fill)
                if known:
                    axis.plot(interval, [place, place], color=COLOURS[label])
        texts = [f"{row['grouping']}: {row['part']} (n = {row['n']})" for row in rows]
        axis.set_yticks(places, texts, fontsize=10)
        axis.set(xlabel="share judged rightly, with its 95 % interval by patient", xlim=(-0.02, 1.02))
        axis.set_ylim(places[-1] + 0.6, -0.6)
        axis.set_title(mark_synthetic(title, synthetic))
        figure.legend(loc="outside lower center", ncols=2, fontsize=10)
    return figure
