"""Pages as one HTML file each, from Jinja2 templates, whose text is escaped; they need no network."""

import base64
import io
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pneumo_utils.evaluation.results import format_interval
from pneumo_utils.runtime import write_atomically


@cache
def make_environment():
    """The Jinja2 environment of all pages; a name that the template misspells is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": figure_to_html, "film": film_to_html, "interval": format_interval}
    environment.filters["percent"] = "{:.1%}".format
    return environment


def render(template: str, **values) -> str:
    """A page of `templates/` as HTML; it needs `title` and `subtitle`, to which the date is added."""
    return make_environment().get_template(template).render(today=date.today(), **values)


def save_page(page: str, path: Path) -> None:
    write_atomically(path, lambda file: file.write(page.encode(errors="replace")))  # names


def film_to_html(film: np.ndarray, caption: str, *, boxes=()):
    """A film, uint8 (H, W[, 3]), with boxes (top, left, bottom, right) as frames, and its caption as HTML."""
    picture = Image.fromarray(film).convert("RGB")
    for top, left, bottom, right in boxes:
        frame = [max(0, left - 4), max(0, top - 4), right + 3, bottom + 3]
        ImageDraw.Draw(picture).rectangle(frame, outline="orange")
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
