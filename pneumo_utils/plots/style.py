"""What all figures share: a colour-blind safe palette, one style, the mark of phantoms, alt text."""

import functools
import inspect
import textwrap
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from html import escape
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

# A colour means one thing: blue and vermilion (`config.CLASS_COLOURS`) are the classes, these are models, and
# what belongs to neither, a split or a measurement, is black or grey.
MODEL_COLOURS = ("#882E72", "#1B9E77", "#A6761D", "#44AA99")
SPLIT_COLOURS = {"train": "0.65", "val": "0.0", "test": "0.4"}
DPI = 144  # of a figure in a lesson, where an inch is 96 pixels of the page
STYLE: dict = {
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
    "figure.titlesize": 12,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
MAX_ALT_LENGTH = 500
TITLE_HEIGHT = 0.35  # of a title above several charts or pictures, inches; the figure grows by it


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Gives a function that draws our style and the keywords `title` and `synthetic`, phantoms' mark."""

    @functools.wraps(draw)
    def plot(*arguments, title: str = "", synthetic: bool = False, **settings) -> Figure:
        with plt.rc_context(STYLE):
            figure = draw(*arguments, **settings)
            set_title(figure, title, synthetic=synthetic)
        return figure

    own, added = inspect.signature(draw), inspect.signature(plot, follow_wrapped=False).parameters
    parameters = [*own.parameters.values(), added["title"], added["synthetic"]]
    plot.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # for `help`
    return plot


def set_title(figure: Figure, title: str, *, synthetic: bool) -> None:
    """Writes the marked title: that of a single chart above it, else above all, on a line of its own."""
    text = mark_synthetic(title, synthetic)
    if text and len(figure.axes) == 1 and not figure.axes[0].get_title():
        figure.axes[0].set_title(text)
    elif text:
        figure.suptitle(text)
        figure.set_figheight(figure.get_figheight() + TITLE_HEIGHT)


def mark_synthetic(text: str, synthetic: bool) -> str:
    """A title, marked where phantoms are behind the figure."""
    if not synthetic:
        return text
    return f"SYNTHETIC: {text}" if text else "SYNTHETIC films"


def with_colours(values: dict) -> Iterator[tuple]:
    """Names of models, their values and colours, in turn."""
    return zip(values, values.values(), cycle(MODEL_COLOURS), strict=False)


def draw_interval(axis: Axes, place, value, *, interval, colour, marker="o", filled=True) -> None:
    """A value on a line of its own, y = `place`, and a bar from end to end of its interval, if it has one."""
    if interval[0] is not None:
        axis.plot(interval, [place, place], color=colour)
    axis.plot(value, place, marker, color=colour, fillstyle="full" if filled else "none")


def name_rows(axis: Axes, names: list[str], **settings) -> None:
    """Makes the y axis one of named rows, the first on top."""
    axis.set_yticks(range(len(names)), names, **settings)
    axis.set_ylim(len(names) - 0.5, -0.5)


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG that holds its description too; the folder is made on demand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight", metadata={"Description": describe_figure(figure)})
    return path


def show_figure(figure: Figure) -> None:
    """Shows a figure with the words of `describe_figure` as its alt text, and closes it.

    JupyterLab and nbconvert read no alt text of a PNG, so they get the same PNG as HTML too, sharper
    than the page. Outside a notebook this is `plt.show()`.
    """
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    data, metadata = shell.display_formatter.format(figure) if shell else ({}, {})
    if "image/png" in data:
        facts = metadata.setdefault("image/png", {})
        facts["alt"] = data["text/plain"] = describe_figure(figure)
        facts["width"] = round(int.from_bytes(b64decode(data["image/png"])[16:20], "big") * 96 / figure.dpi)
        attributes = " ".join(f'{name}="{escape(str(value))}"' for name, value in facts.items())
        data["text/html"] = f'<img {attributes} src="data:image/png;base64,{data["image/png"]}">'
        display(data, metadata=metadata, raw=True)
    else:
        plt.show()
    plt.close(figure)


def describe_figure(figure: Figure) -> str:
    """What a figure shows, in a line from its own titles, labels and legends, so that it cannot go stale."""
    pictures = [axis for axis in figure.axes if axis.images and not axis.texts]
    charts = [axis for axis in figure.axes if axis.axison and axis.has_data() and axis not in pictures]
    parts = [figure.get_suptitle(), _describe_pictures(pictures), *map(_describe_chart, charts)]
    text = _join(". ", *parts, *map(_describe_legend, figure.legends))
    return textwrap.shorten(text, MAX_ALT_LENGTH, placeholder=" ...")


def _join(separator: str, *words: str) -> str:
    return separator.join(word for word in words if word)


def _describe_pictures(axes: list[Axes]) -> str:
    """How many, and their titles, equal ones counted."""
    if not axes:
        return ""
    titles = Counter(title for axis in axes if (title := _title(axis)))
    named = [title if number == 1 else f"{number} x {title}" for title, number in titles.items()]
    return _join(": ", "Picture" if len(axes) == 1 else f"{len(axes)} pictures", "; ".join(named))


def _describe_chart(axes: Axes) -> str:
    """Title, what is drawn over what, legend, and the numbers written into it; of a colour scale its name."""
    if axes.get_label() == "<colorbar>":
        return f"Colours: {axes.get_xlabel() or axes.get_ylabel()}"
    over = _join(" over ", _describe_axis(axes.yaxis), _describe_axis(axes.xaxis))
    name = _join(": ", _title(axes), over and f"chart of {over}")
    legend = _describe_legend(axes.get_legend()) if axes.get_legend() else ""
    written = "; ".join(text.get_text() for text in axes.texts if text.get_text().strip())
    return _join(". ", name, legend, written and f"Written in it: {written}")


def _describe_axis(axis: Axis) -> str:
    """The label of an axis, and its ticks where they are words."""
    ticks = [label.get_text() for label in axis.get_ticklabels() if label.get_visible()]
    are_words = ticks and all(any(map(str.isalpha, tick)) and "$" not in tick for tick in ticks)
    return _join(": ", axis.get_label_text(), ", ".join(ticks) if are_words else "")


def _describe_legend(legend) -> str:
    title, texts = legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]
    return f"Legend{f' ({title})' if title else ''}: {'; '.join(texts)}"


def _title(axes: Axes) -> str:
    return axes.get_title() or axes.get_title("left")
