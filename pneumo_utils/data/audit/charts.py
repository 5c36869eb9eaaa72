"""Bars and histograms as HTML and SVG, and figures as words."""

from html import escape

import numpy as np

from pneumo_utils.config import CLASS_NAMES

COLOURS = dict(zip(CLASS_NAMES, ("#2a6f97", "#c8553d"), strict=True))
WIDTH, HEIGHT, MARGIN = 320, 120, 18  # of a histogram, SVG units
MAX_BINS = 40


def make_bars(scores: dict[str, dict]) -> str:
    """AUROC as bars from 0.5 (chance) to 1, with the 95 % interval as a line; the reason where undefined."""
    return '<div class="bars">' + "".join(_make_bar(*item) for item in scores.items()) + "</div>"


def _make_bar(name: str, score: dict) -> str:
    label = f'<span class="name">{escape(name)}</span>'
    if score["auroc"] is None:
        return f'<div class="bar">{label}<span class="why">undefined: {escape(score["reason"])}</span></div>'
    (low, high), end = (_place(value) for value in score["interval"]), _place(score["auroc"])
    text = f"{score['auroc']:.3f} ({score['interval'][0]:.3f} to {score['interval'][1]:.3f})"
    return (
        f'<div class="bar">{label}<span class="track"><span class="fill" style="width:{end:.1f}%"></span>'
        f'<span class="line" style="left:{low:.1f}%;width:{high - low:.1f}%"></span></span>'
        f'<span class="figure">{text}</span></div>'
    )


def _place(auroc: float) -> float:
    """Percent of the track; below chance there is no bar."""
    return 100 * max(0.0, (auroc - 0.5) / 0.5)


def make_histogram(values: dict[str, list[float]], *, title: str) -> str:
    """The share of each class's films by value, one outline a class, as SVG.

    Args:
        values: By class name; a class may be empty.
        title: What is shown, with its unit.
    """
    joined = np.concatenate([np.asarray(column, dtype=float) for column in values.values()])
    low, high = float(joined.min()), float(joined.max())
    fewest = min(len(column) for column in values.values() if len(column))
    edges = np.linspace(low, high, min(MAX_BINS, 2 + int(fewest**0.5)) + 1)  # few films, few steps
    shares = {name: np.histogram(v, edges)[0] / len(v) for name, v in values.items() if len(v)}
    top = max(share.max() for share in shares.values())
    paths = "".join(
        f'<polygon points="{_outline(share / top)}" fill="{COLOURS[name]}" fill-opacity="0.35" '
        f'stroke="{COLOURS[name]}"/>'
        for name, share in shares.items()
    )
    ends = "".join(
        f'<text x="{x}" y="{HEIGHT - 4}" text-anchor="{anchor}">{value:,.4g}</text>'
        for x, anchor, value in ((0, "start", low), (WIDTH, "end", high))
    )
    text = escape(title)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text}, by class">'
        f"{paths}{ends}</svg><figcaption>{text}</figcaption></figure>"
    )


def _outline(heights: np.ndarray) -> str:
    """Points of a step line from the left to the right and back on the ground."""
    ground, x = HEIGHT - MARGIN, np.linspace(0, WIDTH, len(heights) + 1)
    y = ground - heights * (ground - 4)
    steps = [(x[i + side], y[i]) for i in range(len(y)) for side in (0, 1)]
    return " ".join(f"{px:.1f},{py:.1f}" for px, py in [(0, ground), *steps, (WIDTH, ground)])


def format_values(values: dict[str, float] | None) -> str:
    """`1,686 ± 420` from a mean and a standard deviation."""
    return "none" if values is None else f"{values['mean']:,.4g} ± {values['std']:,.3g}"


def format_counts(counts: dict[str, int]) -> str:
    """`L 1,341, RGB 283`."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def format_share(count: int, total: int) -> str:
    """`6 of 624 (1%)`."""
    return f"{count:,} of {total:,} ({count / total:.0%})" if total else "no film"
