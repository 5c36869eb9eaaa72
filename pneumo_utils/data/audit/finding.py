"""One thing to know about a data set, in words: the same for the command line and for the page."""

from dataclasses import dataclass

SERIOUS, LOOK, FINE = "serious", "look", "fine"
LEVELS = (SERIOUS, LOOK, FINE)


@dataclass(frozen=True)
class Finding:
    """What was found and what it means.

    Attributes:
        level: "serious" (figures from these data mislead unless something is done), "look" (a person
            should decide) or "fine".
        title: One sentence.
        text: How to read it, and what to do; may be empty.
    """

    level: str
    title: str
    text: str = ""


def make_count(count: int, noun: str) -> str:
    """`1 film`, `2 films`, `5,840 films`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
