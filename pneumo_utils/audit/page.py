"""The audit as one HTML page, as JSON and as text."""

import json
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from pneumo_utils.audit.facts import FILM_SIZE, THUMBNAIL_SIZE, AuditTable
from pneumo_utils.audit.findings import Finding, make_count
from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.images import load_image
from pneumo_utils.evaluation.saliency import make_lung_mask
from pneumo_utils.plots.films import plot_shortcuts, plot_spread
from pneumo_utils.report.html import figure_to_html, film_to_html, render
from pneumo_utils.runtime import write_atomically

SPREAD = {"aspect": "width over height", "kilobytes": "file size, kB", "mean_intensity": "mean grey level"}
MAX_PAIRS = 6  # pictures of near-duplicates
MAX_MARKED = 8  # pictures of marked films, of each class


def save_audit(
    table: AuditTable, summary: dict, *, findings: list[Finding], json_path: Path, html_path: Path
) -> None:
    """Writes the figures with the findings, and the page; their folders are made on demand."""
    page = build_page(summary, findings, table)
    for path, text in ((json_path, format_json(summary, findings)), (html_path, page)):
        write_atomically(path, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))


def format_json(summary: dict, findings: list[Finding]) -> str:
    """Figures and findings as one JSON text; an undefined figure is null, never NaN."""
    return json.dumps(summary | {"findings": [vars(finding) for finding in findings]}, allow_nan=False)


def format_text(summary: dict, findings: list[Finding]) -> str:
    """What the command line prints: the counts, then the findings."""
    lines = [f"{make_count(summary['num_films'], 'film')} in {summary['folder']}"]
    for split, count in summary["counts"].items():
        classes = " + ".join(f"{number:,} {name}" for name, number in count["classes"].items())
        lines.append(f"{split}: {classes}")
    for finding in findings:
        lines += ["", f"[{finding.level}] {finding.title}"]
        if finding.text:
            lines.append(finding.text)
    return "\n".join(lines)


def build_page(summary: dict, findings: list[Finding], table: AuditTable) -> str:
    """The page of a table as HTML, with all its pictures inside it."""
    films, damaged = table.readable, summary["num_films"] - summary["num_readable"]
    subtypes = set().union(*(count["subtypes"] for count in summary["counts"].values()))
    return render(
        "audit.html",
        title=f"Data audit: {Path(summary['folder']).name or summary['folder']}",
        subtitle=f"{make_count(summary['num_films'], 'film')}, {damaged:,} damaged.",
        summary=summary,
        findings=findings,
        class_names=list(CLASS_NAMES),
        subtypes=sorted(subtypes - {"normal"}),
        near_films=_show_near_films(summary["duplicates"]["near"]["names"], films),
        spread=_show_spread(films),
        shortcuts=_show_shortcuts(summary["shortcuts"]),
        mean_films=_show_mean_films(films),
        marked_films=_show_marked_films(films),
    )


def _show_near_films(pairs: list[dict], films: pd.DataFrame) -> list[str]:
    paths = dict(zip(films["name"], films["path"], strict=True))
    return [
        film_to_html(_load_film(paths[name]), f"pair {number}, correlation {pair['correlation']:.2f}: {name}")
        for number, pair in enumerate(pairs[:MAX_PAIRS], start=1)
        for name in pair["films"]
    ]


def _load_film(path: Path) -> np.ndarray:
    """The film as marks were looked for on it, uint8 (224, 224); the file is read again."""
    return load_image(load_image(path), image_size=FILM_SIZE)


def _show_spread(films: pd.DataFrame) -> list[str]:
    """How facts of the files are spread in each class; what is the same for all films is left out."""
    return [
        figure_to_html(plot_spread(films, column, label=label), f"Films of each class by {label}")
        for column, label in SPREAD.items()
        if films[column].nunique() > 1
    ]


def _show_shortcuts(shortcuts: dict) -> str:
    if all(score["auroc"] is None for score in shortcuts["scores"].values()):
        return ""
    caption = "AUROC of each kind of facts with its 95 % interval; the dotted line is chance"
    return figure_to_html(plot_shortcuts(shortcuts), caption)


def _show_mean_films(films: pd.DataFrame) -> list[str]:
    """The mean film of each class, and the same with its lung fields covered."""
    pictures = []
    for name, thumbnails in films.groupby("class_name")["thumbnail"]:
        mean = np.mean(thumbnails.tolist(), axis=0).round().astype(np.uint8)
        covered = np.where(make_lung_mask(THUMBNAIL_SIZE), np.uint8(0), mean)
        for pixels, words in ((mean, "mean of"), (covered, "lungs covered, mean of")):
            caption = f"{words} {make_count(len(thumbnails), f'{name} film')}"
            pictures.append(film_to_html(load_image(pixels, image_size=FILM_SIZE), caption))
    return pictures


def _show_marked_films(films: pd.DataFrame) -> list[str]:
    classes = (films[films["class_name"] == name] for name in CLASS_NAMES)
    chosen = pd.concat(choose_marked(part, MAX_MARKED) for part in classes)
    return [
        film_to_html(
            _load_film(row.path), f"{row.class_name}: {PurePosixPath(row.name).name}", boxes=row.marks
        )
        for row in chosen.itertuples()
    ]


def choose_marked(films: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` films that have marks, evenly picked.

    Not the clearest ones: what the rule gets wrong should show as often as it happens.
    """
    marked = films[films["marks"].map(len) > 0]
    return marked if len(marked) <= count else marked.iloc[[i * len(marked) // count for i in range(count)]]
