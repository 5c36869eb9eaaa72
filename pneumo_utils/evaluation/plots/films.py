"""Films side by side, and how a data set is made up."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation.plots.style import COLOURS, STYLE, mark_synthetic


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


def show_pictures(pictures: dict[str, np.ndarray], *, synthetic: bool = False) -> Figure:
    """Grey pictures of any size beside each other, each with its own width and height.

    Args:
        pictures: uint8 (H, W) by title, 1 or more.
        synthetic: Whether to mark it.
    """
    widths = [picture.shape[1] / picture.shape[0] for picture in pictures.values()]
    with plt.rc_context(STYLE):
        size = (1.9 * sum(widths), 2.3 + 0.4 * synthetic)  # the mark takes a line of its own
        figure, axes = plt.subplots(1, len(widths), figsize=size, squeeze=False, width_ratios=widths)
        for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_title(title, fontsize=9)
            axis.axis("off")
        if synthetic:
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


def plot_shortcuts(shortcuts: dict, *, title: str) -> Figure:
    """How well each kind of facts alone tells the label: AUROC with its 95 % interval.

    Args:
        shortcuts: The `shortcuts` of an audit, from `summarise`; what is undefined is left out.
        title: Of the figure.
    """
    scores = {name: s for name, s in shortcuts["scores"].items() if s["auroc"] is not None}
    places = np.arange(len(scores))
    with plt.rc_context(STYLE):
        size = (8, 1.2 + 0.34 * len(scores))
        figure, axis = plt.subplots(figsize=size, layout="constrained")
        for place, score in zip(places, scores.values(), strict=True):
            axis.plot(score["interval"], [place, place], color=COLOURS[0])
            axis.plot(score["auroc"], place, "o", color=COLOURS[0])
        axis.axvline(0.5, linestyle=":", color="0.4")
        axis.set_yticks(places, list(scores))
        lowest = min([0.45, *(score["interval"][0] for score in scores.values())])
        axis.set(xlabel="AUROC of a logistic regression, 0.5 is chance", xlim=(lowest - 0.02, 1.01))
        axis.set_ylim(len(scores) - 0.5, -0.5)
        axis.set_title(title)
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
