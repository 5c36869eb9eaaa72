"""Films that are there twice: how many, across which borders, and what that means."""

from collections import Counter

from pneumo_utils.data.audit.duplicates import find_identical, find_near
from pneumo_utils.data.audit.finding import FINE, LOOK, SERIOUS, Finding, make_count
from pneumo_utils.data.audit.table import FilmFacts


def describe_identical(films: list[FilmFacts]) -> dict:
    """Groups of films with identical pixels.

    Args:
        films: Readable ones.

    Returns:
        Counts of groups and films; of groups within each split, across splits, classes and patients (by
        the fine key, where the names tell); and the names of each group, those that cross a border first.
    """
    groups = [[films[index].file for index in group] for group in find_identical(films)]
    groups.sort(key=lambda group: not _crosses(group))  # stable: the reader sees the crossing ones first
    return {
        "groups": len(groups),
        "films": sum(len(group) for group in groups),
        "within_split": dict(Counter(group[0].split for group in groups if not _differ(group, "split"))),
        "across_splits": sum(_differ(group, "split") for group in groups),
        "across_classes": sum(_differ(group, "label") for group in groups),
        "across_patients": sum(_has_two_patients(group) for group in groups),
        "names": [[file.name for file in group] for group in groups],
    }


def describe_near(films: list[FilmFacts]) -> dict:
    """Pairs that look the same and have other pixels: counts, and the names, the most alike first.

    Args:
        films: Readable ones.
    """
    pairs = find_near(films)
    files = [(films[pair.first].file, films[pair.second].file) for pair in pairs]
    return {
        "pairs": len(pairs),
        "across_splits": sum(_differ(pair, "split") for pair in files),
        "across_classes": sum(_differ(pair, "label") for pair in files),
        "names": [
            {"films": [a.name, b.name], "distance": pair.distance, "correlation": round(pair.correlation, 3)}
            for pair, (a, b) in zip(pairs, files, strict=True)
        ],
    }


def _differ(files, name: str) -> bool:
    return len({getattr(file, name) for file in files}) > 1


def _has_two_patients(files) -> bool:
    return _differ([file for file in files if file.tells_patient], "series")


def _crosses(files) -> bool:
    return _differ(files, "split") or _differ(files, "label") or _has_two_patients(files)


def explain_identical(summary: dict):
    """Yields what to make of identical films.

    Args:
        summary: From `summarise`.
    """
    found, counts = summary["duplicates"]["identical"], summary["counts"]
    if not found["groups"]:
        yield Finding(FINE, "No two films have identical pixels.")
    if found["across_classes"]:
        title = f"{make_count(found['across_classes'], 'group')} of identical films with both labels."
        yield Finding(
            SERIOUS, title, "One of the labels is wrong: ask who gave them, or leave the films out."
        )
    if found["across_splits"]:
        title = f"{make_count(found['across_splits'], 'group')} of identical films in more than one split."
        yield Finding(
            SERIOUS, title, "A model has seen these films when it is judged: keep them on one side."
        )
    within = found["within_split"]
    if within:
        none = ", none across splits" if len(counts) > 1 and not found["across_splits"] else ""
        title = f"{make_count(sum(within.values()), 'group')} of identical films within one split{none}."
        parts = [
            f"{counts[split]['different']:,} of {counts[split]['films']:,} in {split}" for split in within
        ]
        text = f"Each group counts as often as it has films. Different films: {', '.join(parts)}."
        yield Finding(LOOK, title, text)
    if found["across_patients"]:
        title = (
            f"{make_count(found['across_patients'], 'group')} of identical films under different patients."
        )
        yield Finding(
            LOOK,
            title,
            "So a number in a file name does not always tell who it is. In the list, these come first.",
        )


def explain_near(summary: dict):
    """Yields what to make of films that nearly repeat each other.

    Args:
        summary: From `summarise`.
    """
    found = summary["duplicates"]["near"]
    if not found["pairs"]:
        text = "A copy saved, sized or toned anew would be found; one mirrored or strongly cropped would not."
        yield Finding(FINE, "No two films nearly repeat each other.", text)
        return
    crossing = f"{found['across_splits']:,}" if found["across_splits"] else "none"
    where = f", {crossing} across splits" if len(summary["counts"]) > 1 else ""
    text = "The same film saved anew, or a second exposure of the same patient: look at them and decide."
    level = SERIOUS if found["across_splits"] or found["across_classes"] else LOOK
    yield Finding(level, f"{make_count(found['pairs'], 'pair')} of films nearly the same{where}.", text)
