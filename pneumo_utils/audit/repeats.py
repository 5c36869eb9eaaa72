"""Identical and nearly identical films, within and across splits."""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pneumo_utils.audit.facts import THUMBNAIL_SIZE, FilmFacts

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


MAX_DISTANCE = 12
"""Bits of 64 in which the perceptual hashes of a candidate pair may differ."""
MIN_CORRELATION = 0.85
"""Correlation of the fine detail from which a candidate counts as a near-duplicate."""
DETAIL_SIGMA = 3.0  # thumbnail pixels; what is smoother than this all chest films share


@dataclass(frozen=True)
class NearPair:
    """Two films of different pixels that show the same film, or nearly so.

    Attributes:
        first: Index into the films that were compared.
        second: A larger one.
        distance: Bits in which the perceptual hashes differ, 0 to 64.
        correlation: Of the fine detail of the thumbnails, -1 to 1.
    """

    first: int
    second: int
    distance: int
    correlation: float


def find_identical(films: list[FilmFacts]) -> list[list[int]]:
    """Groups of two or more films whose grey levels are all equal, as ascending indices."""
    groups = defaultdict(list)
    for index, film in enumerate(films):
        groups[film.picture.pixel_hash].append(index)
    return [group for group in groups.values() if len(group) > 1]


def find_near(films: list[FilmFacts]) -> list[NearPair]:
    """Pairs that look the same and have other pixels, the most alike first.

    Chest films look alike, so a hash alone drowns the reader: of the 17 million pairs of the 5,840 films
    of ChestXRay2017, tens of thousands lie within 10 bits and all but a few show different children. So
    the hash (imagehash's `phash`) only proposes, within 12 bits, and the fine detail of the thumbnails
    decides: ribs, vessels and markers, with all that is smooth taken out. On those films the highest
    correlations of pairs with different pixels are 0.86 (two files of different number which look like
    two exposures of one child), 0.80 and 0.79; hence the limit of 0.85. Of 300 of these films changed on
    purpose, saving at JPEG quality 30, halving the size, gamma 0.7 to 1.4, and an added line of text are
    all found; so are nearly all with 1 % cropped or turned by 1 degree, and fewer with 2 % cropped.
    Mirrored, inverted, strongly cropped or padded copies are not found.

    Of films with identical pixels, only the first takes part.
    """
    unique = np.unique([film.picture.pixel_hash for film in films], return_index=True)[1]
    unique.sort()
    hashes = np.array([films[i].picture.look_hash for i in unique], dtype=np.uint64)
    details = _make_details([films[i].picture.thumbnail for i in unique])
    pairs = []
    for i, index in enumerate(unique.tolist()):
        distances = np.bitwise_count(hashes[i] ^ hashes[i + 1 :])
        close = np.flatnonzero(distances <= MAX_DISTANCE)
        correlations = details[i + 1 + close] @ details[i]
        for k in np.flatnonzero(correlations >= MIN_CORRELATION):
            other, distance = int(unique[i + 1 + close[k]]), int(distances[close[k]])
            pairs.append(NearPair(index, other, distance, float(correlations[k])))
    return sorted(pairs, key=lambda pair: -pair.correlation)


def _make_details(thumbnails: list[np.ndarray]) -> np.ndarray:
    """float32 (N, 4096): thumbnails less their blur, of mean 0 and length 1; zeros where all is one grey."""
    levels = np.array(thumbnails, dtype=np.float32).reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    details = levels - gaussian_filter(levels, sigma=(0, DETAIL_SIGMA, DETAIL_SIGMA))
    details = details.reshape(len(levels), THUMBNAIL_SIZE**2)
    details -= details.mean(axis=1, keepdims=True)
    length = np.linalg.norm(details, axis=1, keepdims=True)
    # A thumbnail of one grey level has no detail: what rounding leaves of it must not be blown up.
    return np.where(length > 1, details / np.maximum(length, 1), 0)


def make_groups(num_films: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Joins films that are linked, directly or through others.

    Args:
        num_films: N.
        pairs: Indices of two linked films each.

    Returns:
        int (N,): equal for films of one group.
    """
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(num_films, num_films))
    return connected_components(links, directed=False)[1]


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
