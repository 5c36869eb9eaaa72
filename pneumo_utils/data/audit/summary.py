"""An audit in figures and in words."""

from collections import Counter, defaultdict

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.audit.finding import LEVELS, SERIOUS, Finding
from pneumo_utils.data.audit.patients import compare_patients, explain_patients
from pneumo_utils.data.audit.quality import describe_class, describe_files, explain_files, explain_marks
from pneumo_utils.data.audit.repeats import describe_identical, describe_near, explain_identical, explain_near
from pneumo_utils.data.audit.shortcut_reading import describe_shortcuts, explain_covered, explain_facts
from pneumo_utils.data.audit.table import AuditTable, FilmFacts


def summarise(table: AuditTable) -> dict:
    """All figures of an audit, fit for JSON.

    Args:
        table: From `read_facts`.

    Returns:
        folder, num_films, num_readable, counts, patients, duplicates, classes, files and shortcuts. A
        figure that cannot be had is None; the reason stands beside it.
    """
    films = table.readable
    return {
        "folder": str(table.folder).encode(errors="replace").decode(),
        "num_films": len(table.films),
        "num_readable": len(films),
        "counts": count_films(table.films),
        "patients": compare_patients([film.file for film in table.films]),
        "duplicates": {"identical": describe_identical(films), "near": describe_near(films)},
        "classes": {
            name: describe_class([film for film in films if film.file.label == label])
            for label, name in enumerate(CLASS_NAMES)
        },
        "files": describe_files(table),
        "shortcuts": describe_shortcuts(films),
    }


def count_films(films: tuple[FilmFacts, ...]) -> dict[str, dict]:
    """For each split: films, readable ones, different ones by pixels, and films by class and by subtype."""
    splits = defaultdict(list)
    for film in films:
        splits[film.file.split].append(film)
    return {split: _count_part(part) for split, part in splits.items()}


def _count_part(films: list[FilmFacts]) -> dict:
    readable = [film for film in films if film.picture]
    return {
        "films": len(films),
        "readable": len(readable),
        "different": len({film.picture.pixel_hash for film in readable}),
        "classes": {
            name: sum(film.file.label == label for film in films) for label, name in enumerate(CLASS_NAMES)
        },
        "subtypes": dict(sorted(Counter(film.file.subtype for film in films).items())),
    }


def make_findings(summary: dict) -> list[Finding]:
    """What the figures mean, the serious things first.

    Args:
        summary: From `summarise`.
    """
    parts = (explain_classes, explain_patients, explain_identical, explain_near)
    parts += (explain_facts, explain_covered, explain_marks, explain_files)
    findings = [finding for part in parts for finding in part(summary)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def explain_classes(summary: dict):
    """Yields the classes that have no film.

    Args:
        summary: From `summarise`.
    """
    for name in CLASS_NAMES:
        empty = [split for split, count in summary["counts"].items() if count["classes"][name] == 0]
        if empty:
            where = "" if empty == ["all"] else f" in {', '.join(empty)}"
            text = "With one class nothing can be learnt or judged. Add films of the other."
            yield Finding(SERIOUS, f"There is no film of class {name}{where}.", text)
