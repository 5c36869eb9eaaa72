"""What to know of a folder of films: counts, patients, damage, and the findings in words."""

from collections import Counter, defaultdict
from itertools import combinations

import numpy as np

from pneumo_utils.audit.facts import AuditTable, FilmFacts
from pneumo_utils.audit.repeats import (
    FINE,
    LEVELS,
    LOOK,
    SERIOUS,
    Finding,
    describe_identical,
    describe_near,
    explain_identical,
    explain_near,
    make_count,
)
from pneumo_utils.audit.shortcuts import describe_shortcuts, explain_covered, explain_facts
from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.folders import PATIENT_PATTERN, FilmFile
from pneumo_utils.data.images import IMAGE_SUFFIXES


def compare_patients(files: list[FilmFile]) -> dict:
    """Patients of each split and those that two splits share, under both keys.

    Only films whose name or folder tells a patient are counted. The coarse key is the number alone
    (`person12`), the fine key the number and the pathogen (`person12 viral`).

    Returns:
        named_films; for "coarse" and "fine", num_patients by split and shared by pair of splits, with the
        count, the classes and the patients, both None if no name tells; reason, empty unless so.
    """
    named = [file for file in files if file.tells_patient]
    if not named:
        reason = "No file name has a form that tells the patient, and there are no folders of patients."
        return {"named_films": 0, "coarse": None, "fine": None, "reason": reason}
    keys = {"coarse": [file.patient for file in named], "fine": [file.series for file in named]}
    compared = {name: _compare_key(named, key) for name, key in keys.items()}
    return {"named_films": len(named)} | compared | {"reason": ""}


def _compare_key(named: list[FilmFile], keys: list[str]) -> dict:
    patients, classes = defaultdict(set), defaultdict(set)
    for file, key in zip(named, keys, strict=True):
        patients[file.split].add(key)
        classes[key].add(CLASS_NAMES[file.label])
    shared = {f"{a}/{b}": sorted(patients[a] & patients[b]) for a, b in combinations(patients, 2)}
    return {
        "num_patients": {split: len(members) for split, members in patients.items()},
        "shared": {pair: _describe_shared(members, classes) for pair, members in shared.items()},
    }


def _describe_shared(members: list[str], classes: dict[str, set[str]]) -> dict:
    names = sorted(set().union(*(classes[member] for member in members)))
    return {"count": len(members), "classes": names, "patients": members}


def explain_patients(summary: dict):
    """Yields what to make of patients in two splits.

    Args:
        summary: From `summarise`.
    """
    patients, num_films = summary["patients"], summary["num_films"]
    if len(summary["counts"]) < 2:
        return
    if patients["coarse"] is None:
        title = "Nobody can say from these file names whether a patient is in two splits."
        yield Finding(
            LOOK, title, "Ask where the films come from before figures on the test split are believed."
        )
        return
    if patients["named_films"] < num_films:
        unnamed = make_count(num_films - patients["named_films"], "film")
        title = f"The names of {unnamed} of {num_films:,} tell no patient."
        yield Finding(LOOK, title, "What is said of patients holds for the other films only.")
    for pair, coarse in patients["coarse"]["shared"].items():
        yield _explain_pair(pair.replace("/", " and "), coarse, patients["fine"]["shared"][pair])


def _explain_pair(pair: str, coarse: dict, fine: dict) -> Finding:
    if fine["count"]:
        title = f"{make_count(fine['count'], 'patient')} with films in both {pair}, by number and pathogen."
        text = "A model has seen these patients when it is judged: move all films of a patient to one side."
        return Finding(SERIOUS, title, text)
    if coarse["count"]:
        count = make_count(coarse["count"], "patient number")
        title = f"{count} in both {pair}, none with the same pathogen; all {' and '.join(coarse['classes'])}."
        text = (
            "Either the numbers start again with each series (bacterial, viral) and these are different "
            "children, or some children had both: the names cannot tell. So treat a number as one child, "
            "the coarse key, whenever you cut off a validation split."
        )
        return Finding(LOOK, title, text)
    return Finding(FINE, f"No patient is in both {pair}, as far as the file names tell.")


MIN_STD = 5.0  # grey levels; below, hardly anything can be seen
MIN_SHORT_SIDE = 128  # pixels; below, fine detail of the lungs is lost
ASPECT_RANGE = (0.5, 2.5)  # width over height; beyond, it is a strip or a collage
MIN_BORDER = 0.02  # of the film's width or height; less is the edge of any film
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),  # a JPEG with a preview
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "DICOM": (".dcm", ".dicom"),
}


def describe_class(films: list[FilmFacts]) -> dict:
    """Figures of the readable films of one class.

    Returns:
        mean, std, min, median and max of width and height (pixels), aspect (width over height),
        kilobytes, mean intensity (0 to 255) and JPEG quality, each None without films; counts of colour
        modes, formats, progressive JPEGs, films with marks and films with an empty border.
    """
    pictures = [film.picture for film in films]
    values = {
        "width": [p.width for p in pictures],
        "height": [p.height for p in pictures],
        "aspect": [p.width / p.height for p in pictures],
        "kilobytes": [film.num_bytes / 1000 for film in films],
        "mean_intensity": [p.mean for p in pictures],
        "jpeg_quality": [p.quality for p in pictures if not np.isnan(p.quality)],
    }
    return {name: describe_values(column) for name, column in values.items()} | {
        "films": len(films),
        "modes": dict(Counter(p.mode for p in pictures).most_common()),
        "formats": dict(Counter(p.format for p in pictures).most_common()),
        "progressive": sum(p.is_progressive for p in pictures),
        "with_marks": sum(bool(p.marks) for p in pictures),
        "with_border": sum(max(p.borders) >= MIN_BORDER for p in pictures),
    }


def describe_values(values: list[float]) -> dict[str, float] | None:
    """Mean, standard deviation, lowest, median and highest value; None if there are none."""
    if not values:
        return None
    functions = {"mean": np.mean, "std": np.std, "min": np.min, "median": np.median, "max": np.max}
    return {name: float(function(values)) for name, function in functions.items()}


def describe_files(table: AuditTable) -> dict:
    """Damaged files, sound ones that are suspicious, and what lies between the films, each with its reason.

    Returns:
        damaged, suspicious and not_read; each maps a reason to the names.
    """
    return {
        "damaged": _by_reason((film.file.name, film.damage) for film in table.films if film.damage),
        "suspicious": _by_reason(
            (film.file.name, reason) for film in table.readable for reason in find_suspicions(film)
        ),
        "not_read": _by_reason(table.strays),
    }


def _by_reason(pairs) -> dict[str, list[str]]:
    names = defaultdict(list)
    for name, reason in pairs:
        names[reason].append(name)
    return dict(sorted(names.items(), key=lambda item: -len(item[1])))


def find_suspicions(film: FilmFacts) -> list[str]:
    """What is odd about a readable film; empty for an ordinary one."""
    picture, (low, high), path = film.picture, ASPECT_RANGE, film.file.path
    says_pneumonia = film.file.subtype in ("bacterial", "viral")
    is_named = PATIENT_PATTERN.match(path.name) is not None
    is_misnamed = path.suffix.lower() in IMAGE_SUFFIXES - set(SUFFIXES[picture.format])
    checks = [
        (is_named and says_pneumonia != bool(film.file.label), "named as the other class"),
        (is_misnamed, f"{picture.format} inside, another kind by its name"),
        (picture.std < MIN_STD, "nearly all of one grey level"),
        (min(picture.width, picture.height) < MIN_SHORT_SIDE, f"short side below {MIN_SHORT_SIDE} pixels"),
        (not low <= picture.width / picture.height <= high, f"width over height outside {low} to {high}"),
    ]
    return [reason for is_so, reason in checks if is_so]


def explain_marks(summary: dict):
    """Yields what to make of letters and metal near the edge.

    Args:
        summary: From `summarise`.
    """
    classes = [(name, values) for name, values in summary["classes"].items() if values["films"]]
    shares = [f"{values['with_marks'] / values['films']:.0%} of {name} films" for name, values in classes]
    if any(values["with_marks"] for _, values in classes):
        text = (
            "Found by a simple rule that takes metal for letters and misses faint ones. Where shape or place "
            "differs between the classes, a model can read them: cover corners in training."
        )
        yield Finding(LOOK, f"Letters or metal near the edge on {' and '.join(shares)}.", text)


def explain_files(summary: dict):
    """Yields what to make of damaged, odd and stray files.

    Args:
        summary: From `summarise`.
    """
    words = {"damaged": "cannot be read", "suspicious": "odd but readable", "not_read": "beside the films"}
    for kind, what in words.items():
        reasons = summary["files"][kind]
        count = len({name for names in reasons.values() for name in names})
        if count:
            text = "; ".join(f"{reason} ({len(names)})" for reason, names in list(reasons.items())[:4])
            yield Finding(LOOK, f"{make_count(count, 'file')} {what}.", text)
    if not summary["files"]["damaged"]:
        yield Finding(FINE, f"All {make_count(summary['num_films'], 'film')} can be read.")


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
