"""The sections of the audit's page: figures, pictures, and beside each how to read it."""

from collections.abc import Callable
from pathlib import PurePosixPath

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.audit import charts, notes
from pneumo_utils.data.audit.pictures import choose_marked, show_film, show_mean_films
from pneumo_utils.data.audit.table import AuditTable, FilmFacts
from pneumo_utils.page import parts

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
    return parts.make_table(head, rows) + parts.make_note(notes.COUNTS)


def build_patients(summary: dict) -> str:
    """Patients of each split and shared ones, by both keys."""
    patients = summary["patients"]
    if patients["coarse"] is None:
        return parts.make_note(f"Undefined: {patients['reason']}")
    splits, pairs = list(patients["coarse"]["num_patients"]), list(patients["coarse"]["shared"])
    names = {"coarse": "coarse: the number", "fine": "fine: number and pathogen"}
    rows = [
        [name, *(patients[key]["num_patients"][split] for split in splits)]
        + [patients[key]["shared"][pair]["count"] for pair in pairs]
        for key, name in names.items()
    ]
    table = parts.make_table(["key", *splits, *(f"in both {pair}" for pair in pairs)], rows)
    return table + parts.make_note(notes.PATIENTS)


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
        parts.make_table(["", "all", "across splits", "across classes"], rows)
        + parts.make_row(pictures, kind="large")
        + parts.make_list("Identical films", names)
        + parts.make_note(notes.REPEATS)
    )


def build_classes(summary: dict, table: AuditTable) -> str:
    """Sizes, colour modes and grey levels of each class."""
    names = {"width": "width, pixels", "height": "height, pixels", "aspect": "width over height"}
    names |= {"kilobytes": "file, kB", "mean_intensity": "mean grey level", "jpeg_quality": "JPEG quality"}
    classes = summary["classes"]
    rows = [
        [text, *(charts.format_values(classes[name][key]) for name in CLASS_NAMES)]
        for key, text in names.items()
    ]
    rows += [
        [text, *(charts.format_counts(classes[name][key]) for name in CLASS_NAMES)]
        for key, text in (("modes", "colour modes"), ("formats", "formats"))
    ]
    columns: dict[str, Callable] = {
        "width over height": lambda film: film.picture.width / film.picture.height,
        "file, kB": lambda film: film.num_bytes / 1000,
        "mean grey level": lambda film: film.picture.mean,
    }
    plots = [_plot(table.readable, title, function) for title, function in columns.items()]
    key = "".join(f'<span style="background:{charts.COLOURS[name]}"></span>{name}' for name in CLASS_NAMES)
    return (
        parts.make_table(["mean ± deviation", *CLASS_NAMES], rows)
        + f'<p class="key soft">Share of the films of a class by value:{key}</p>'
        + f'<div class="charts">{"".join(plots)}</div>'
        + parts.make_note(notes.CLASSES)
    )


def build_shortcuts(summary: dict, table: AuditTable) -> str:
    """The shortcut scores, and the mean film with and without its lungs."""
    found = summary["shortcuts"]
    where = "the train split" if found["split"] == "train" else "all films"
    text = notes.SHORTCUTS.format(films=f"{where} ({found['num_films']:,} films)")
    return (
        charts.make_bars(found["scores"])
        + parts.make_row(show_mean_films(table.readable))
        + parts.make_note(text)
    )


def build_marks(summary: dict, table: AuditTable) -> str:
    """Films with letters, metal or an empty border, and pictures of some."""
    classes = summary["classes"]
    names = {
        "with_marks": "films with letters or metal near the edge",
        "with_border": "films with an empty border",
    }
    rows = [
        [text, *(charts.format_share(classes[name][key], classes[name]["films"]) for name in CLASS_NAMES)]
        for key, text in names.items()
    ]
    pictures = [
        show_film(film, f"{name}: {PurePosixPath(film.file.name).name}", framed=True)
        for label, name in enumerate(CLASS_NAMES)
        for film in choose_marked(table.readable, label, MAX_MARKED)
    ]
    return (
        parts.make_table(["", *CLASS_NAMES], rows) + parts.make_row(pictures) + parts.make_note(notes.MARKS)
    )


def build_files(summary: dict) -> str:
    """Damaged, odd and stray files by reason."""
    words = {"damaged": "Cannot be read", "suspicious": "Readable but odd", "not_read": "Not read"}
    lists = [
        parts.make_list(f"{words[kind]}: {reason}", names)
        for kind, reasons in summary["files"].items()
        for reason, names in reasons.items()
    ]
    return "".join(lists) or parts.make_note(notes.NO_FILES)


def _plot(films: list[FilmFacts], title: str, measure: Callable) -> str:
    values = {
        name: [measure(film) for film in films if film.file.label == label]
        for label, name in enumerate(CLASS_NAMES)
    }
    if len({value for column in values.values() for value in column}) < 2:
        return parts.make_note(f"{title}: the same for all films." if films else f"{title}: no film.")
    return charts.make_histogram(values, title=title)
