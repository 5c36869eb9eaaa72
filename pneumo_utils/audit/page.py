"""The audit as one HTML page, as JSON and as text."""

import json
from collections.abc import Callable
from html import escape
from pathlib import Path, PurePosixPath

import numpy as np

from pneumo_utils.audit.facts import FILM_SIZE, THUMBNAIL_SIZE, AuditTable, FilmFacts
from pneumo_utils.audit.repeats import Finding, make_count
from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.images import load_image
from pneumo_utils.evaluation.saliency import make_lung_mask
from pneumo_utils.report import html
from pneumo_utils.report.html import build_document, make_image

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


COUNTS = (
    "Bacterial and viral are read from the file names. Different pixels: identical films counted once. A "
    "figure is only as sure as its smaller class is large."
)
PATIENTS = (
    "The coarse key takes person12_bacteria and person12_virus for one child, the fine key for two. Where "
    "the coarse key finds patients in two splits and the fine key none, the numbers probably start again "
    "with each series. The coarse key is the safe one: it may take two children for one, never one for "
    "two."
)
REPEATS = (
    "Identical: every pixel the same, whatever the file. Nearly the same: a perceptual hash proposes and "
    "the fine detail decides (correlation 0.85 or more), because chest films of different patients look "
    "alike. Judge such a pair by eye: in one exposure, ribs, vessels and markers coincide."
)
CLASSES = (
    "Where the two outlines part, a fact of the file tells the label. Squashing all films to one square "
    "takes size and aspect out of the file, not out of the picture: there, a wide film becomes a narrow "
    "chest."
)
SHORTCUTS = (
    "AUROC: take one film of each class at random; how often does the fact rank the one with "
    "pneumonia higher? 0.5 is a coin, 1 is always. From a logistic regression on each fact alone, "
    "cross-validated over patients on {films}, with its 95 % interval. Where all films have one size "
    "and quality, file bytes measure fine detail, lungs included. The last two see the film as "
    "16 x 16 pixels. The ellipses are the same in all films, so some lung stays outside: a high score "
    "with covered lungs is a strong hint, not a proof."
)
MARKS = (
    "Small, bright, sharp-edged things in the outer quarter; the pictures are evenly picked from all "
    "films that have some. On ChestXRay2017 about four in five were letters or digits and most others "
    "metal, and more than half of the films without a mark did carry a faint or small letter: take "
    "the shares as lowest values. An empty border is a strip of one grey level at least 2 % deep."
)
NO_FILES = "No damaged, odd or stray file was found."


def show_film(film: FilmFacts, caption: str, *, framed: bool = False) -> str:
    """A film of the table, squashed, its marks framed if asked for; the file is read again."""
    pixels = load_image(load_image(film.file.path), image_size=FILM_SIZE)
    return make_image(pixels, caption, boxes=[mark.box for mark in film.picture.marks if framed])


def show_mean_films(films: list[FilmFacts]) -> list[str]:
    """The mean film of each class, and the same with its lung fields covered."""
    pictures = []
    for label, name in enumerate(CLASS_NAMES):
        thumbnails = [film.picture.thumbnail for film in films if film.file.label == label]
        if thumbnails:
            mean = np.mean(thumbnails, axis=0).round().astype(np.uint8)
            covered = np.where(make_lung_mask(THUMBNAIL_SIZE), np.uint8(0), mean)
            for pixels, words in ((mean, "mean of"), (covered, "lungs covered, mean of")):
                count = f"{len(thumbnails):,} {name} film" + "s" * (len(thumbnails) > 1)
                pictures.append(make_image(load_image(pixels, image_size=FILM_SIZE), f"{words} {count}"))
    return pictures


def choose_marked(films: list[FilmFacts], label: int, count: int) -> list[FilmFacts]:
    """At most `count` films of a class that have marks, evenly picked.

    Not the clearest ones: what the rule gets wrong should show as often as it happens.
    """
    marked = [film for film in films if film.file.label == label and film.picture.marks]
    return [marked[i * len(marked) // count] for i in range(count)] if len(marked) > count else marked


MAX_PAIRS = 6  # pictures of near-duplicates
MAX_MARKED = 8  # pictures of marked films, of each class


def build_counts(summary: dict) -> str:
    """Films by split, class and subtype."""
    subtypes = sorted(
        {name for count in summary["counts"].values() for name in count["subtypes"]} - {"normal"}
    )
    head = ["split", "films", *CLASS_NAMES, *subtypes, "different pixels"]
    rows = []
    for split, count in summary["counts"].items():
        kinds = [count["subtypes"].get(name, 0) for name in subtypes]
        rows.append([split, count["films"], *count["classes"].values(), *kinds, count["different"]])
    return html.make_table(head, rows) + html.make_note(COUNTS)


def build_patients(summary: dict) -> str:
    """Patients of each split and shared ones, by both keys."""
    patients = summary["patients"]
    if patients["coarse"] is None:
        return html.make_note(f"Undefined: {patients['reason']}")
    splits, pairs = list(patients["coarse"]["num_patients"]), list(patients["coarse"]["shared"])
    names = {"coarse": "coarse: the number", "fine": "fine: number and pathogen"}
    rows = [
        [name, *(patients[key]["num_patients"][split] for split in splits)]
        + [patients[key]["shared"][pair]["count"] for pair in pairs]
        for key, name in names.items()
    ]
    table = html.make_table(["key", *splits, *(f"in both {pair}" for pair in pairs)], rows)
    return table + html.make_note(PATIENTS)


def build_repeats(summary: dict, table: AuditTable) -> str:
    """Identical films as a list, near-duplicates as pictures."""
    found, near = summary["duplicates"]["identical"], summary["duplicates"]["near"]
    rows = [["groups of identical films", found["groups"], found["across_splits"], found["across_classes"]]]
    rows += [["pairs of nearly the same films", near["pairs"], near["across_splits"], near["across_classes"]]]
    films = {film.file.name: film for film in table.films}
    pictures = [
        show_film(films[name], f"pair {number}, correlation {pair['correlation']:.2f}: {name}")
        for number, pair in enumerate(near["names"][:MAX_PAIRS], start=1)
        for name in pair["films"]
    ]
    names = [" = ".join(group) for group in found["names"]]
    return (
        html.make_table(["", "all", "across splits", "across classes"], rows)
        + html.make_row(pictures, kind="large")
        + html.make_list("Identical films", names)
        + html.make_note(REPEATS)
    )


def build_classes(summary: dict, table: AuditTable) -> str:
    """Sizes, colour modes and grey levels of each class."""
    names = {"width": "width, pixels", "height": "height, pixels", "aspect": "width over height"}
    names |= {"kilobytes": "file, kB", "mean_intensity": "mean grey level", "jpeg_quality": "JPEG quality"}
    classes = summary["classes"]
    rows = [
        [text, *(format_values(classes[name][key]) for name in CLASS_NAMES)] for key, text in names.items()
    ]
    rows += [
        [text, *(format_counts(classes[name][key]) for name in CLASS_NAMES)]
        for key, text in (("modes", "colour modes"), ("formats", "formats"))
    ]
    columns: dict[str, Callable] = {
        "width over height": lambda film: film.picture.width / film.picture.height,
        "file, kB": lambda film: film.num_bytes / 1000,
        "mean grey level": lambda film: film.picture.mean,
    }
    plots = [_plot(table.readable, title, function) for title, function in columns.items()]
    key = "".join(f'<span style="background:{COLOURS[name]}"></span>{name}' for name in CLASS_NAMES)
    return (
        html.make_table(["mean ± deviation", *CLASS_NAMES], rows)
        + f'<p class="key soft">Share of the films of a class by value:{key}</p>'
        + f'<div class="charts">{"".join(plots)}</div>'
        + html.make_note(CLASSES)
    )


def build_shortcuts(summary: dict, table: AuditTable) -> str:
    """The shortcut scores, and the mean film with and without its lungs."""
    found = summary["shortcuts"]
    where = "the train split" if found["split"] == "train" else "all films"
    text = SHORTCUTS.format(films=f"{where} ({found['num_films']:,} films)")
    return make_bars(found["scores"]) + html.make_row(show_mean_films(table.readable)) + html.make_note(text)


def build_marks(summary: dict, table: AuditTable) -> str:
    """Films with letters, metal or an empty border, and pictures of some."""
    classes = summary["classes"]
    names = {
        "with_marks": "films with letters or metal near the edge",
        "with_border": "films with an empty border",
    }
    rows = [
        [text, *(format_share(classes[name][key], classes[name]["films"]) for name in CLASS_NAMES)]
        for key, text in names.items()
    ]
    pictures = [
        show_film(film, f"{name}: {PurePosixPath(film.file.name).name}", framed=True)
        for label, name in enumerate(CLASS_NAMES)
        for film in choose_marked(table.readable, label, MAX_MARKED)
    ]
    return html.make_table(["", *CLASS_NAMES], rows) + html.make_row(pictures) + html.make_note(MARKS)


def build_files(summary: dict) -> str:
    """Damaged, odd and stray files by reason."""
    words = {"damaged": "Cannot be read", "suspicious": "Readable but odd", "not_read": "Not read"}
    lists = [
        html.make_list(f"{words[kind]}: {reason}", names)
        for kind, reasons in summary["files"].items()
        for reason, names in reasons.items()
    ]
    return "".join(lists) or html.make_note(NO_FILES)


def _plot(films: list[FilmFacts], title: str, measure: Callable) -> str:
    values = {
        name: [measure(film) for film in films if film.file.label == label]
        for label, name in enumerate(CLASS_NAMES)
    }
    if len({value for column in values.values() for value in column}) < 2:
        return html.make_note(f"{title}: the same for all films." if films else f"{title}: no film.")
    return make_histogram(values, title=title)


def build_page(summary: dict, findings: list[Finding], table: AuditTable) -> str:
    """The page, with all its pictures inside it.

    Args:
        summary: From `summarise`.
        findings: From `make_findings`.
        table: What both were made from.

    Returns:
        HTML.
    """
    parts = {
        "What to know first": _build_findings(findings),
        "Films": build_counts(summary),
        "Patients across splits": build_patients(summary),
        "Films that are there twice": build_repeats(summary, table),
        "Files by class": build_classes(summary, table),
        "Shortcuts: what tells the label without the lungs": build_shortcuts(summary, table),
        "Letters, metal and borders": build_marks(summary, table),
        "Files to look at": build_files(summary),
    }
    damaged = summary["num_films"] - summary["num_readable"]
    return build_document(
        f"Data audit: {Path(summary['folder']).name or summary['folder']}",
        subtitle=f"{make_count(summary['num_films'], 'film')}, {damaged:,} damaged.",
        sections=parts,
    )


def _build_findings(findings: list[Finding]) -> str:
    """The findings, each with its level in words and colour."""
    words = {"serious": "serious", "look": "look at this", "fine": "fine"}
    return "".join(
        f'<div class="finding {f.level}"><span class="tag">{words[f.level]}</span>'
        f"<p><strong>{escape(f.title)}</strong></p><p>{escape(f.text)}</p></div>"
        for f in findings
    )


def save_audit(
    table: AuditTable, summary: dict, *, findings: list[Finding], json_path: Path, html_path: Path
):
    """Writes both files; their folders are made on demand.

    Args:
        table: From `read_facts`.
        summary: From `summarise`.
        findings: From `make_findings`.
        json_path: For the figures and the findings.
        html_path: For the page.
    """
    page = build_page(summary, findings, table)
    for path, text in ((json_path, format_json(summary, findings)), (html_path, page)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


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
        lines += ["", f"[{finding.level}] {finding.title}"] + [finding.text] * bool(finding.text)
    return "\n".join(lines)
