"""The page around the sections of a report."""

import base64
import io
from datetime import date
from html import escape
from importlib import resources
from string import Template

import numpy as np
from PIL import Image, ImageDraw

MAX_NAMES = 30
FRAME_COLOUR = "orange"


def make_table(head: list[str], rows: list[list]) -> str:
    """An HTML table; the first cell of a row names it. Text is escaped, whole numbers get commas."""

    def cell(value, tag: str) -> str:
        text = f"{value:,}" if isinstance(value, int) else escape(str(value))
        return f"<{tag}>{text}</{tag}>"

    lines = ["<tr>" + "".join(cell(name, "th") for name in head) + "</tr>"]
    lines += [f"<tr>{cell(row[0], 'th')}{''.join(cell(v, 'td') for v in row[1:])}</tr>" for row in rows]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def make_image(film: np.ndarray, caption: str, *, boxes=()) -> str:
    """A film and its caption as HTML.

    Args:
        film: uint8 (H, W).
        caption: Plain text below it.
        boxes: Top, left, bottom, right in pixels, drawn as frames.
    """
    picture = Image.fromarray(film).convert("RGB")
    for top, left, bottom, right in boxes:
        frame = [max(0, left - 4), max(0, top - 4), right + 3, bottom + 3]
        ImageDraw.Draw(picture).rectangle(frame, outline=FRAME_COLOUR)
    return _embed(picture, caption, "JPEG", quality=80)


def make_figure(figure, caption: str) -> str:
    """A matplotlib figure and its caption as HTML; the figure is closed."""
    import matplotlib.pyplot as plt

    stream = io.BytesIO()
    figure.savefig(stream, dpi=110, bbox_inches="tight")
    plt.close(figure)
    # 256 colours are plenty for curves and grey films, and a third of the bytes.
    return _embed(Image.open(stream).convert("RGB").quantize(256), caption, "PNG", optimize=True)


def _embed(picture: Image.Image, caption: str, kind: str, **settings) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, **settings)
    source = f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
    text = escape(caption)
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'


def make_paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


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
    """One page with everything inside it.

    Args:
        title: Plain text.
        subtitle: Plain text below it; the date is added.
        sections: HTML by heading; an empty one is left out.

    Returns:
        HTML.
    """
    template = Template(
        resources.files(__package__).joinpath("templates/page.html").read_text(encoding="utf-8")
    )
    return template.substitute(
        title=escape(title),
        subtitle=f"{escape(subtitle)} {date.today():%d %B %Y}.",
        sections="\n".join(
            f"<section><h2>{escape(heading)}</h2>{text}</section>"
            for heading, text in sections.items()
            if text
        ),
    )
