"""Figures that show films: examples, saliency maps, what a network holds inside."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation.saliency import make_lung_mask
from pneumo_utils.models.cnn import ReceptiveField
from pneumo_utils.plots.style import COLOURS, STYLE, mark_synthetic


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


COLOUR_MAP = "viridis"
"""Perceptually uniform, and told apart by colour-blind readers."""
OPACITY = 0.65
"""Of the colour where the map is 1; it fades with the map, so that the film shows where it is 0."""


def show_saliency(
    dataset: XrayDataset,
    index,
    saliency: np.ndarray,
    *,
    titles: list[str] | None = None,
    label: int = 1,
    columns: int = 3,
    outline: bool = True,
) -> Figure:
    """A sheet of pairs: a film, and the same film under its saliency map.

    Args:
        dataset: Where the films are, square.
        index: Which ones, K ints.
        saliency: float (K, H, W), 0 to 1, of these films in this order, from `compute_saliency`.
        titles: One text a pair; the film's class if None.
        label: The one that the maps explain, for the colour scale.
        columns: Pairs in a row.
        outline: Whether to draw the outline of the rough lung field over the map.

    Raises:
        ValueError: There is not one map of the film's size for each film.
    """
    index = np.asarray(index)
    expected = (len(index), *dataset.images.shape[1:])
    if saliency.shape != expected:
        raise ValueError(f"saliency has shape {saliency.shape}; expected {expected}, a map for each film.")
    rows = -(-len(index) // columns)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(3.1 * columns, 1.8 * rows + 0.8), layout="constrained")
        axes = figure.subplots(rows, 2 * columns, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for position, film in enumerate(index):
            pair = axes.flat[2 * position : 2 * position + 2]
            for axis in pair:
                axis.imshow(dataset.images[film], cmap="gray", vmin=0, vmax=255)
            _overlay(pair[1], saliency[position], outline=outline)
            text = titles[position] if titles else CLASS_NAMES[dataset.labels[film]]
            pair[0].set_title(text, fontsize=8, color=COLOURS[dataset.labels[film]], loc="left")
        _add_scale(figure, axes, CLASS_NAMES[label])
        if dataset.is_synthetic:
            figure.suptitle("SYNTHETIC films", fontsize=11)
    return figure


def colour_saliency(saliency: np.ndarray) -> np.ndarray:
    """A map as a picture to be laid over its film.

    Args:
        saliency: float (H, W), 0 to 1.

    Returns:
        uint8 (H, W, 4): the colour, and an opacity that is the map itself.
    """
    coloured = plt.get_cmap(COLOUR_MAP)(saliency)
    coloured[..., 3] = saliency
    return (255 * coloured).round().astype(np.uint8)


def _overlay(axis: Axes, saliency: np.ndarray, *, outline: bool) -> None:
    axis.imshow(saliency, cmap=COLOUR_MAP, vmin=0, vmax=1, alpha=OPACITY * saliency)
    if outline:
        axis.contour(make_lung_mask(len(saliency)), levels=[0.5], colors="white", linewidths=0.7)


def _add_scale(figure: Figure, axes: np.ndarray, name: str) -> None:
    colours = plt.cm.ScalarMappable(plt.Normalize(0, 1), COLOUR_MAP)
    bar = figure.colorbar(colours, ax=axes, location="bottom", shrink=0.35, aspect=40, ticks=[0, 1])
    bar.ax.tick_params(labelsize=8)
    bar.set_label(f"speaks for {name}; 1 is the most of the film", fontsize=9, labelpad=0)


def plot_lung_share(
    shares: dict[str, np.ndarray], *, even_share: float, title: str, synthetic: bool = False
) -> Figure:
    """How much of each film's saliency lies inside the rough lung field: a dot a film, a bar the median.

    Args:
        shares: By model, class or both, float (N,), 0 to 1, from `compute_lung_share`; NaN is left out and
            counted.
        even_share: Of a map that is the same everywhere, from `compute_even_share`: the dotted line.
        title: Of the figure.
        synthetic: Whether phantoms are behind it.
    """
    rng = np.random.default_rng(0)  # for the scatter across a row, which means nothing
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 1.3 + 0.55 * len(shares)), layout="constrained")
        for row, values in enumerate(shares.values()):
            shown, colour = values[np.isfinite(values)], COLOURS[row % len(COLOURS)]
            axis.scatter(shown, row + rng.uniform(-0.25, 0.25, len(shown)), s=8, color=colour, alpha=0.4)
            if len(shown):
                axis.plot([np.median(shown)] * 2, [row - 0.35, row + 0.35], color=colour, linewidth=2.5)
        axis.axvline(even_share, color="0.3", linestyle=":", label=f"an even map: {even_share:.2f}")
        axis.set_yticks(range(len(shares)), [_label(name, values) for name, values in shares.items()])
        axis.invert_yaxis()
        axis.set(xlabel="share of the saliency inside the rough lung field", xlim=(0, 1))
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, fontsize=9)
        figure.suptitle(mark_synthetic(title, synthetic), fontsize=12)
    return figure


def _label(name: str, values: np.ndarray) -> str:
    """The name, and from how many films."""
    without = int(np.isnan(values).sum())
    return f"{name}\n{len(values) - without} films" + (f", {without} without a map" if without else "")


def show_receptive_field(
    film: torch.Tensor, fields: dict[str, ReceptiveField], *, title: str, synthetic: bool = False
) -> Figure:
    """One film in several panels, each with what the middle place of a deeper map looks at.

    The square is what can reach the place; the brighter the pixels, the more they do.

    Args:
        film: float (H, W), grey levels in 0 to 1.
        fields: By the name of the depth, measured on films of this size.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    height, width = film.shape
    with plt.rc_context(STYLE | {"axes.grid": False}):
        size = (1.9 * len(fields), 2.7)
        figure, axes = plt.subplots(1, len(fields), figsize=size, squeeze=False, layout="constrained")
        for axis, (name, field) in zip(axes.flat, fields.items(), strict=True):
            axis.imshow(film.numpy(), cmap="gray", vmin=0, vmax=1)
            axis.imshow(field.pull**0.5, cmap="inferno", alpha=field.pull**0.5, vmin=0, vmax=1)
            row, column = field.centre
            corner = (column - field.side / 2, row - field.side / 2)
            axis.add_patch(
                Rectangle(corner, field.side, field.side, fill=False, edgecolor=COLOURS[5], linewidth=2)
            )
            axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
            axis.set_title(f"{name}\n{field.side} x {field.side} pixels", fontsize=10)
        figure.suptitle(mark_synthetic(title, synthetic), fontsize=12)
    return figure


def plot_channels(maps: dict[str, torch.Tensor], *, title: str, synthetic: bool = False) -> Figure:
    """How the values of each channel are spread, one panel a stage: a box for the middle half.

    Args:
        maps: By the name of the stage, float (B, C, H, W); whiskers reach from 1 to 99 % of the values.
        title: Of the figure.
        synthetic: Whether to mark it.
    """
    with plt.rc_context(STYLE):
        size = (4.6 * len(maps), 3.0)
        figure, axes = plt.subplots(
            1, len(maps), figsize=size, sharey=True, squeeze=False, layout="constrained"
        )
        for axis, (name, values) in zip(axes.flat, maps.items(), strict=True):
            channels = values.detach().transpose(0, 1).flatten(1).cpu().numpy()
            axis.boxplot(
                list(channels),
                whis=(1, 99),
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": COLOURS[5]},
                medianprops={"color": COLOURS[1], "linewidth": 2},
            )
            axis.set(xlabel="channel", title=name)
        axes[0, 0].set_ylabel("value")
        figure.suptitle(mark_synthetic(title, synthetic), fontsize=12)
    return figure
