"""What all figures share: a colour-blind safe palette, a style, the mark of phantoms."""

import textwrap
from collections import Counter
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

MAX_ALT_LENGTH = 500


def show_figure(figure: Figure) -> None:
    """Shows a figure with the words of `describe_figure` as its alt text, and closes it.

    The PNG carries them as metadata, which nbconvert reads. JupyterLab does not, so it gets the same PNG as
    HTML too; `course.store_outputs` leaves that out. Outside a notebook this is `plt.show()`.

    Args:
        figure: From one of the functions that plot.
    """
    data, metadata = _format(figure)
    if "image/png" in data:
        from IPython.display import display

        facts = metadata.setdefault("image/png", {})
        facts["alt"] = data["text/plain"] = describe_figure(figure)
        attributes = " ".join(f'{name}="{escape(str(value))}"' for name, value in facts.items())
        data["text/html"] = f'<img {attributes} src="data:image/png;base64,{data["image/png"]}">'
        display(data, metadata=metadata, raw=True)
    else:
        plt.show()
    plt.close(figure)


def _format(figure: Figure) -> tuple[dict, dict]:
    """What IPython would display, by MIME type, and its metadata; nothing outside of it."""
    try:
        from IPython import get_ipython
    except ImportError:
        return {}, {}
    shell = get_ipython()
    return shell.display_formatter.format(figure) if shell else ({}, {})


def describe_figure(figure: Figure) -> str:
    """What a figure shows, from its own titles, labels and legends, so that it cannot go stale.

    Returns:
        Plain text in one line, at most `MAX_ALT_LENGTH` characters.
    """
    pictures = [axis for axis in figure.axes if axis.images]
    charts = [axis for axis in figure.axes if axis.axison and axis.has_data() and not axis.images]
    parts = [figure.get_suptitle(), _describe_pictures(pictures)]
    parts += [_describe_scale(axis) if _is_scale(axis) else _describe_chart(axis) for axis in charts]
    parts += [_describe_legend(legend) for legend in figure.legends]
    return textwrap.shorten(". ".join(part for part in parts if part), MAX_ALT_LENGTH, placeholder=" ...")


def _describe_pictures(axes: list[Axes]) -> str:
    """How many, and their titles, equal ones counted."""
    if not axes:
        return ""
    titles = Counter(title for axis in axes if (title := _title(axis)))
    named = [title if number == 1 else f"{number} x {title}" for title, number in titles.items()]
    number = "Picture" if len(axes) == 1 else f"{len(axes)} pictures"
    return f"{number}: {'; '.join(named)}" if named else number


def _describe_chart(axes: Axes) -> str:
    """Title, what is drawn over what, legend, and the numbers written into it."""
    over = " over ".join(words for axis in (axes.yaxis, axes.xaxis) if (words := _describe_axis(axis)))
    parts = [": ".join(words for words in (_title(axes), over and f"chart of {over}") if words)]
    if axes.get_legend():
        parts.append(_describe_legend(axes.get_legend()))
    if written := [text.get_text() for text in axes.texts if text.get_text().strip()]:
        parts.append(f"Written in it: {'; '.join(written)}")
    return ". ".join(part for part in parts if part)


def _describe_axis(axis: Axis) -> str:
    """The label of an axis, and its ticks where they are words."""
    ticks = [label.get_text() for label in axis.get_ticklabels() if label.get_visible()]
    are_words = ticks and all(any(map(str.isalpha, tick)) and "$" not in tick for tick in ticks)
    return ": ".join(part for part in (axis.get_label_text(), ", ".join(ticks) if are_words else "") if part)


def _describe_legend(legend) -> str:
    title, texts = legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]
    return f"Legend{f' ({title})' if title else ''}: {'; '.join(texts)}"


def _is_scale(axes: Axes) -> bool:
    return axes.get_label() == "<colorbar>"


def _describe_scale(axes: Axes) -> str:
    return f"Colours: {axes.get_xlabel() or axes.get_ylabel()}"


def _title(axes: Axes) -> str:
    return axes.get_title() or axes.get_title("left")


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
    """Writes a figure as PNG that holds its description too; the folder is made on demand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    description = {"Description": describe_figure(figure)}
    figure.savefig(path, dpi=150, bbox_inches="tight", metadata=description)
    return path
