"""The page around the sections of a report."""

from datetime import date
from html import escape
from importlib import resources
from string import Template


def build_document(title: str, *, subtitle: str, sections: dict[str, str]) -> str:
    """One page with everything inside it.

    Args:
        title: Plain text.
        subtitle: Plain text below it; the date is added.
        sections: HTML by heading; an empty one is left out.

    Returns:
        HTML.
    """
    template = Template(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        subtitle=f"{escape(subtitle)} {date.today():%d %B %Y}.",
        sections="\n".join(
            f"<section><h2>{escape(heading)}</h2>{text}</section>"
            for heading, text in sections.items()
            if text
        ),
    )
