"""Where a model looks: films beside their saliency maps, and how much of the maps lies in the lungs."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.lung_field import make_lung_mask
from pneumo_utils.evaluation.plots.style import COLOURS, STYLE, mark_synthetic

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
