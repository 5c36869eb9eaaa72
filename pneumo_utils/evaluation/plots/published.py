"""Models of our own beside published ones."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pneumo_utils.evaluation.plots.style import COLOURS, STYLE
from pneumo_utils.evaluation.published import PUBLISHED

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
