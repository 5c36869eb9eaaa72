"""Figures of films and data, and of what a network sees in them: sheets, counts, saliency, channels."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pneumo_utils.config import CLASS_COLOURS, CLASS_NAMES, COLOUR_MAP
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.plots.style import draw_interval, name_rows, set_title, styled

GREY: dict = {"cmap": "gray", "vmin": 0, "vmax": 255}  # of a film, uint8
FILM_SIZE = 2.3  # of a film on a sheet, inches: 220 pixels of a page
OPACITY = 0.65  # of the colour where a saliency map is 1; it fades with the map


def _make_sheet(count: int, columns: int, *, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure with places without frames, row by row; `size` is that of one in inches."""
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    return figure, list(axes.flat)


@styled
def show_films(dataset: XrayDataset, index, *, titles: list[str] | None = None, columns: int = 4) -> Figure:
    """A sheet of films of a dataset, each with its text; its class if there is none."""
    figure, axes = _make_sheet(len(index), columns, size=(FILM_SIZE, FILM_SIZE + 0.3))
    texts = titles or [CLASS_NAMES[label] for label in dataset.labels[index]]
    for axis, film, text in zip(axes, index, texts, strict=False):
        axis.imshow(dataset.images[film], **GREY)
        axis.set_title(text, fontsize=10, color=CLASS_COLOURS[dataset.labels[film]])
    set_title(figure, "", synthetic=dataset.is_synthetic)
    return figure


@styled
def show_pictures(pictures: dict[str, np.ndarray]) -> Figure:
    """Grey pictures, uint8 (H, W) by title, beside each other, each with its own width and height."""
    widths = [picture.shape[1] / picture.shape[0] for picture in pictures.values()]
    size = (FILM_SIZE * sum(widths), FILM_SIZE + 0.3)
    figure, axes = plt.subplots(1, len(widths), figsize=size, squeeze=False, width_ratios=widths)
    for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
        axis.imshow(picture, **GREY)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    return figure


@styled
def show_batch(levels, *, columns: int = 4) -> Figure:
    """A sheet of a batch as the network gets it: tensor (B, 1, H, W), grey levels in 0 to 1."""
    films = levels.detach().cpu().numpy()[:, 0]
    figure, axes = _make_sheet(len(films), columns, size=(FILM_SIZE, FILM_SIZE))
    for axis, film in zip(axes, films, strict=False):
        axis.imshow(film, cmap="gray", vmin=0, vmax=1)
    return figure


@styled
def plot_class_counts(datasets: list[XrayDataset]) -> Figure:
    """Films of each class in each split, as bars with their numbers."""
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    for label, name in enumerate(CLASS_NAMES):
        counts = [dataset.class_counts()[name] for dataset in datasets]
        places = np.arange(len(datasets)) + 0.4 * (label - 0.5)
        axis.bar_label(axis.bar(places, counts, width=0.38, color=CLASS_COLOURS[label], label=name))
    axis.set_xticks(np.arange(len(datasets)), [dataset.split for dataset in datasets])
    axis.set_ylabel("films")
    axis.legend()
    set_title(figure, "Films of each class in each split", synthetic=datasets[0].is_synthetic)
    return figure


@styled
def plot_intensities(dataset: XrayDataset) -> Figure:
    """How the mean grey level of a film is spread in each class."""
    import seaborn as sns

    means = dataset.images.mean((1, 2))
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    for label, name in enumerate(CLASS_NAMES):
        look = {"color": CLASS_COLOURS[label], "fill": True, "label": name}
        sns.kdeplot(means[dataset.labels == label], ax=axis, **look)
    axis.set(xlabel="mean grey level of the film, 0 (black) to 255 (white)", ylabel="density")
    axis.legend()
    set_title(figure, f"Brightness by class, {dataset.split} split", synthetic=dataset.is_synthetic)
    return figure


@styled
def plot_shortcuts(shortcuts: dict) -> Figure:
    """AUROC of each kind of facts alone, the `shortcuts` of an audit; what is undefined is left out."""
    scores = {name: s for name, s in shortcuts["scores"].items() if s["auroc"] is not None}
    figure, axis = plt.subplots(figsize=(8, 1.2 + 0.34 * len(scores)))
    for place, score in enumerate(scores.values()):
        draw_interval(axis, place, score["auroc"], interval=score["interval"], colour="0.2")
    axis.axvline(0.5, linestyle=":", color="0.4")
    name_rows(axis, list(scores))
    lowest = min([0.45, *(score["interval"][0] for score in scores.values())])
    axis.set(xlabel="AUROC of a logistic regression, 0.5 is chance", xlim=(lowest - 0.02, 1.01))
    return figure


@styled
def plot_spread(films, column: str, *, label: str) -> Figure:
    """How a column of a DataFrame, a row a film, is spread in each `class_name`, in percent of the class."""
    import seaborn as sns

    figure, axis = plt.subplots(figsize=(4, 2.9))
    classes = {"hue": "class_name", "hue_order": CLASS_NAMES, "palette": CLASS_COLOURS, "common_norm": False}
    bins = min(40, 2 + int(films["class_name"].value_counts().min() ** 0.5))  # few films, few steps
    sns.histplot(films, x=column, bins=bins, element="step", stat="percent", ax=axis, **classes)
    axis.set(xlabel=label, ylabel="films of the class, %")
    sns.move_legend(axis, "lower center", bbox_to_anchor=(0.5, 1), ncols=2, title=None)
    return figure


@styled
def show_saliency(
    dataset: XrayDataset, index, saliency: np.ndarray, *, titles: list[str] | None = None
) -> Figure:
    """A sheet of pairs: a film, and the same film under its map and the outline of the rough lung field.

    The maps are float (K, H, W), 0 to 1, from `compute_saliency`, of the films of the index in this order.
    """
    from pneumo_utils.data.augmentation import make_lung_mask

    expected = (len(index), *dataset.images.shape[1:])
    if saliency.shape != expected:
        raise ValueError(f"saliency has shape {saliency.shape}; expected {expected}, a map for each film.")
    figure, axes = _make_sheet(2 * len(index), 4, size=(FILM_SIZE, FILM_SIZE + 0.3))
    texts = titles or [CLASS_NAMES[label] for label in dataset.labels[index]]
    for plain, under, film, text, heat in zip(axes[::2], axes[1::2], index, texts, saliency, strict=False):
        for axis in (plain, under):
            axis.imshow(dataset.images[film], **GREY)
        under.imshow(heat, cmap=COLOUR_MAP, vmin=0, vmax=1, alpha=OPACITY * heat)
        under.contour(make_lung_mask(dataset.image_size), levels=[0.5], colors="white", linewidths=0.7)
        plain.set_title(text, fontsize=10, color=CLASS_COLOURS[dataset.labels[film]], loc="left")
    figure.set_figheight(figure.get_figheight() + 0.6)
    colours = plt.cm.ScalarMappable(plt.Normalize(0, 1), COLOUR_MAP)
    scale = figure.colorbar(colours, ax=axes, location="bottom", shrink=0.35, aspect=40, ticks=[0, 1])
    scale.ax.tick_params(labelsize=9)
    scale.set_label("speaks for PNEUMONIA; 1 is the most of the film", fontsize=9, labelpad=0)
    set_title(figure, "", synthetic=dataset.is_synthetic)
    return figure


@styled
def show_receptive_field(film, fields: dict) -> Figure:
    """One film, tensor (H, W), 0 to 1, in panels, each with the `ReceptiveField` of a map's middle, by name.

    The square is what can reach the middle; the brighter the pixels, the more they do.
    """
    height, width = film.shape
    figure, axes = _make_sheet(len(fields), len(fields), size=(1.9, 2.4))
    for axis, (name, field) in zip(axes, fields.items(), strict=True):
        axis.imshow(film.numpy(), cmap="gray", vmin=0, vmax=1)
        axis.imshow(field.pull**0.5, cmap="inferno", alpha=field.pull**0.5, vmin=0, vmax=1)
        row, column = field.centre
        corner, side = (column - field.side / 2, row - field.side / 2), field.side
        axis.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", linewidth=2))
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
        axis.set_title(f"{name}\n{field.side} x {field.side} pixels", fontsize=10)
    return figure


@styled
def plot_channels(maps: dict) -> Figure:
    """Box plots of the values of each channel, whiskers at 1 and 99 %, by stage: tensors (B, C, H, W)."""
    figure, axes = plt.subplots(1, len(maps), figsize=(4.6 * len(maps), 2.7), sharey=True, squeeze=False)
    boxes = {"patch_artist": True, "boxprops": {"facecolor": "0.85"}}
    boxes |= {"medianprops": {"color": "0.1", "linewidth": 2}}
    for axis, (name, values) in zip(axes.flat, maps.items(), strict=True):
        channels = values.detach().transpose(0, 1).flatten(1).cpu().numpy()
        axis.boxplot(list(channels), whis=(1, 99), showfliers=False, **boxes)
        axis.set(xlabel="channel", title=name)
    axes[0, 0].set_ylabel("value")
    return figure
