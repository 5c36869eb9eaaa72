"""What happens inside a network, on one film or one batch."""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pneumo_utils.evaluation.plots.style import COLOURS, STYLE, mark_synthetic
from pneumo_utils.models.receptive_field import ReceptiveField


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
