"""Pages as one HTML file each, from Jinja2 templates, that open anywhere without a network.

A page is a template in `templates/` that extends `page.html` and fills its block `sections`; `parts.html` has
the macros for tables, notes, rows of pictures and lists that open. All text is escaped.
"""

import base64
import io
from datetime import date
from functools import cache
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pneumo_utils.evaluation.results import format_interval

MAX_NAMES = 30
FRAME_COLOUR = "orange"


@cache
def make_environment():
    """The Jinja2 environment of all pages; a name that the template misspells is an error.

    Filters: `figure` and `film` take a caption, `interval` the ends of an interval.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure_to_html, "film": film_to_html, "interval": format_interval}
    return environment


def render(template: str, **values) -> str:
    """A page as HTML text.

    Args:
        template: Name of a file in `templates/`.
        values: What it shows; those that extend `page.html` need `title` and `subtitle`, a sentence to which
            the date is added.
    """
    return make_environment().get_template(template).render(today=date.today(), **values)


def save_page(page: str, path: Path) -> None:
    """Writes a page; its folder is made on demand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def film_to_html(film: np.ndarray, caption: str, *, boxes=()):
    """A film and its caption as HTML (`Markup`, which templates do not escape again).

    Args:
        film: uint8 (H, W), or (H, W, 3) in colour.
        caption: Plain text below it.
        boxes: Top, left, bottom, right in pixels, drawn as frames.
    """
    picture = Image.fromarray(film).convert("RGB")
    for top, left, bottom, right in boxes:
        frame = [max(0, left - 4), max(0, top - 4), right + 3, bottom + 3]
        ImageDraw.Draw(picture).rectangle(frame, outline=FRAME_COLOUR)
    return _embed(picture, caption, "JPEG", quality=80)


def figure_to_html(figure, caption: str):
    """A matplotlib figure and its caption as HTML (`Markup`); the figure is closed."""
    import matplotlib.pyplot as plt

    stream = io.BytesIO()
    figure.savefig(stream, dpi=110, bbox_inches="tight")
    plt.close(figure)
    # 256 colours are plenty for curves and grey films, and a third of the bytes.
    return _embed(Image.open(stream).convert("RGB").quantize(256), caption, "PNG", optimize=True)


def _embed(picture: Image.Image, caption: str, kind: str, **settings):
    stream = io.BytesIO()
    picture.save(stream, kind, **settings)
    source = f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
    return make_environment().get_template("parts.html").module.figure(source, caption)


# What follows is used by the audit alone and goes once its page is a template.


def make_image(film: np.ndarray, caption: str, *, boxes=()) -> str:
    """As `film_to_html`, as plain text."""
    return str(film_to_html(film, caption, boxes=boxes))


def make_table(head: list[str], rows: list[list]) -> str:
    """An HTML table; the first cell of a row names it. Text is escaped, whole numbers get commas."""
    return str(make_environment().get_template("parts.html").module.table(head, rows))


def make_note(text: str) -> str:
    """How to read what stands above."""
    return f'<p class="soft">{escape(text)}</p>'


def make_row(parts: list[str], *, kind: str = "small") -> str:
    """Pictures beside each other, "small", "large" or "wider" ones, as many as fit."""
    return f'<div class="row {kind}">{"".join(parts)}</div>' if parts else ""


def make_list(title: str, names: list[str]) -> str:
    """A list that opens at a touch; long ones are cut."""
    if not names:
        return ""
    more = [f"and {len(names) - MAX_NAMES:,} more, in the JSON file"] if len(names) > MAX_NAMES else []
    items = "".join(f"<li>{escape(name)}</li>" for name in names[:MAX_NAMES] + more)
    return f"<details><summary>{escape(title)} ({len(names):,})</summary><ul>{items}</ul></details>"


def build_document(title: str, *, subtitle: str, sections: dict[str, str]) -> str:
    """One page of sections that are HTML text already, by heading; an empty one is left out."""
    return render("page.html", title=title, subtitle=subtitle, sections=sections)
