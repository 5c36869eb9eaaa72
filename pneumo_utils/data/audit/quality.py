"""Sizes, colour modes and grey levels of each class, and the files that someone should look at."""

from collections import Counter, defaultdict

import numpy as np

from pneumo_utils.data.audit.finding import FINE, LOOK, Finding, make_count
from pneumo_utils.data.audit.table import AuditTable, FilmFacts

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
    picture, (low, high) = film.picture, ASPECT_RANGE
    says_pneumonia = film.file.subtype in ("bacterial", "viral")
    is_misnamed = film.file.path.suffix.lower() not in SUFFIXES[picture.format]
    checks = [
        (film.file.tells_patient and says_pneumonia != bool(film.file.label), "named as the other class"),
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
