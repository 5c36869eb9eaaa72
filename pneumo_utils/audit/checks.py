"""The figures of an audit: counts, patients and repeats across splits, classes side by side, odd files."""

from itertools import combinations

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

from pneumo_utils.audit.facts import BORDERS, THUMBNAIL_SIZE, AuditTable
from pneumo_utils.audit.shortcuts import describe_shortcuts, describe_split_shift
from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.folders import PATIENT_PATTERN, SUBTYPES
from pneumo_utils.data.images import IMAGE_SUFFIXES

MEASURES = ("width", "height", "aspect", "kilobytes", "mean_intensity", "jpeg_quality")
MIN_BORDER = 0.02  # of the film's width or height; less is the edge of any film
MIN_STD = 5.0  # grey levels; below, hardly anything can be seen
MIN_SHORT_SIDE = 128  # pixels; below, fine detail of the lungs is lost
ASPECT_RANGE = (0.5, 2.5)  # width over height; beyond, it is a strip or a collage
MAX_DISTANCE = 12  # bits of 64 in which the perceptual hashes of a candidate pair may differ
MIN_CORRELATION = 0.85  # of the fine detail, from which a candidate counts as a near-duplicate
DETAIL_SIGMA = 3.0  # thumbnail pixels; what is smoother than this all chest films share


def summarise(table: AuditTable) -> dict:
    """All figures of an audit, fit for JSON; one that cannot be had is None, with the reason beside it."""
    films = table.readable
    return {
        "folder": str(table.folder).encode(errors="replace").decode(),
        "num_films": len(table.films),
        "num_readable": len(films),
        "counts": count_films(table.films),
        "patients": compare_patients(table.films),
        "duplicates": {"identical": describe_identical(films), "near": describe_near(films)},
        "classes": {name: describe_class(films[films["class_name"] == name]) for name in CLASS_NAMES},
        "files": describe_files(table),
        "shortcuts": describe_shortcuts(films),
        "split_shift": describe_split_shift(films),
    }


def count_films(films: pd.DataFrame) -> dict[str, dict]:
    """For each split: films, readable ones, different ones by pixels, and films by class and by subtype."""
    return {
        split: {
            "films": len(part),
            "readable": int((part["damage"] == "").sum()),
            "different": part["pixel_hash"].nunique(),
            "classes": part["class_name"].value_counts().reindex(list(CLASS_NAMES), fill_value=0).to_dict(),
            "subtypes": part["subtype"].value_counts().sort_index().to_dict(),
        }
        for split, part in films.groupby("split", sort=False)
    }


def compare_patients(films: pd.DataFrame) -> dict:
    """Patients of each split and those that two splits share, under both keys.

    Only films whose name or folder tells a patient are counted. The coarse key is the number alone
    (`person12`), the fine key the number and the pathogen (`person12 viral`); None if no name tells.
    """
    named = films[films["tells_patient"]]
    if named.empty:
        reason = "No file name has a form that tells the patient, and there are no folders of patients."
        return {"named_films": 0, "coarse": None, "fine": None, "reason": reason}
    keys = {"coarse": _compare_key(named, "patient"), "fine": _compare_key(named, "series")}
    return {"named_films": len(named), **keys, "reason": ""}


def _compare_key(named: pd.DataFrame, key: str) -> dict:
    patients = {split: set(keys) for split, keys in named.groupby("split", sort=False)[key]}
    shared = {}
    for first, second in combinations(patients, 2):
        both = sorted(patients[first] & patients[second])
        classes = sorted(named.loc[named[key].isin(both), "class_name"].unique())
        shared[f"{first}/{second}"] = {"count": len(both), "classes": classes, "patients": both}
    return {"num_patients": {split: len(keys) for split, keys in patients.items()}, "shared": shared}


def describe_identical(films: pd.DataFrame) -> dict:
    """Groups of readable films with identical pixels; names of those that cross a border come first.

    Patients are told apart by the fine key, where the names tell.
    """
    repeated = films[films.duplicated("pixel_hash", keep=False)]
    told = repeated["series"].where(repeated["tells_patient"])  # what is missing is not counted
    by_pixels = repeated.assign(told=told).groupby("pixel_hash", sort=False)
    groups = by_pixels.agg(
        names=("name", list),
        split=("split", "first"),
        splits=("split", "nunique"),
        classes=("label", "nunique"),
        patients=("told", "nunique"),
    )
    across = groups[["splits", "classes", "patients"]] > 1
    groups = groups.loc[across.any(axis=1).sort_values(ascending=False, kind="stable").index]
    return {
        "groups": len(groups),
        "films": len(repeated),
        "within_split": groups[groups["splits"] == 1].groupby("split", sort=False).size().to_dict(),
        "across_splits": int(across["splits"].sum()),
        "across_classes": int(across["classes"].sum()),
        "across_patients": int(across["patients"].sum()),
        "names": groups["names"].tolist(),
    }


def describe_near(films: pd.DataFrame) -> dict:
    """Pairs that look the same and have other pixels: counts, and the names, the most alike first."""
    pairs = find_near(films)
    first, second = (films.iloc[pairs[side]].reset_index(drop=True) for side in ("first", "second"))
    names = [list(pair) for pair in zip(first["name"], second["name"], strict=True)]
    listed = pairs.assign(films=names, correlation=pairs["correlation"].round(3))
    return {
        "pairs": len(pairs),
        "across_splits": int((first["split"] != second["split"]).sum()),
        "across_classes": int((first["label"] != second["label"]).sum()),
        "names": listed[["films", "distance", "correlation"]].to_dict("records"),
    }


def find_near(films: pd.DataFrame) -> pd.DataFrame:
    """Pairs of readable films that look the same and have other pixels, the most alike first.

    Chest films look alike: of the 5,840 films of ChestXRay2017, tens of thousands of pairs lie within 10
    bits and all but a few show different children. So the hash (imagehash's `phash`) only proposes, within
    12 bits, and the fine detail of the thumbnails decides: ribs, vessels and markers. On those films the
    highest correlations of pairs with different pixels are 0.86 (it looks like two exposures of one
    child), 0.80 and 0.79; hence the limit of 0.85. Of 300 films changed on purpose, those saved at JPEG
    quality 30, halved, at gamma 0.7 to 1.4 or with a line of text are all found; nearly all with 1 %
    cropped or turned by 1 degree. Mirrored, inverted, strongly cropped or padded copies are not found.

    The columns are first and second (places in `films`), distance (0 to 12 bits) and correlation (0.85 to 1).
    Of films with identical pixels, only the first takes part.
    """
    places = np.flatnonzero(~films.duplicated("pixel_hash"))
    unique = films.iloc[places]
    hashes = np.array([int(digits, 16) for digits in unique["perceptual_hash"]], dtype=np.uint64)
    details = _make_details(unique["thumbnail"].tolist())
    pairs = []
    for i, place in enumerate(places):
        distances = np.bitwise_count(hashes[i] ^ hashes[i + 1 :])
        close = np.flatnonzero(distances <= MAX_DISTANCE)
        correlations = details[i + 1 + close] @ details[i]
        for k in np.flatnonzero(correlations >= MIN_CORRELATION):
            pairs.append((place, places[i + 1 + close[k]], distances[close[k]], correlations[k]))
    kinds = {"first": int, "second": int, "distance": int, "correlation": float}
    found = pd.DataFrame(pairs, columns=list(kinds)).astype(kinds)
    return found.sort_values("correlation", ascending=False, kind="stable", ignore_index=True)


def _make_details(thumbnails: list[np.ndarray]) -> np.ndarray:
    """float32 (N, 4096): thumbnails less their blur, of mean 0 and length 1; zeros where all is one grey."""
    levels = np.array(thumbnails, dtype=np.float32).reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    details = levels - gaussian_filter(levels, sigma=(0, DETAIL_SIGMA, DETAIL_SIGMA))
    details = details.reshape(len(levels), THUMBNAIL_SIZE**2)
    details -= details.mean(axis=1, keepdims=True)
    length = np.linalg.norm(details, axis=1, keepdims=True)
    # A thumbnail of one grey level has no detail: what rounding leaves of it must not be blown up.
    return np.where(length > 1, details / np.maximum(length, 1), 0)


def describe_class(films: pd.DataFrame) -> dict:
    """Figures of the readable films of one class: each of `MEASURES`, None without films, and counts."""
    deepest = films[list(BORDERS)].max(axis=1)
    return {name: describe_values(films[name]) for name in MEASURES} | {
        "films": len(films),
        "modes": films["mode"].value_counts().to_dict(),
        "formats": films["format"].value_counts().to_dict(),
        "progressive": int(films["is_progressive"].sum()),
        "with_marks": int((films["marks"].map(len) > 0).sum()),
        "with_border": int((deepest >= MIN_BORDER).sum()),
    }


def describe_values(values: pd.Series) -> dict[str, float] | None:
    """Mean, standard deviation, lowest, median and highest value; None if all are missing."""
    if values.isna().all():
        return None
    figures = values.agg(["mean", "std", "min", "median", "max"])
    figures["std"] = values.std(ddof=0)  # of these films, not an estimate for others
    return figures.to_dict()


def describe_files(table: AuditTable) -> dict:
    """Damaged files, suspicious ones and what lies between the films: names by reason."""
    films = table.films
    damaged = films.loc[films["damage"] != "", ["name", "damage"]]
    odd = [(film.name, reason) for film in table.readable.itertuples() for reason in find_suspicions(film)]
    return {
        "damaged": _list_by_reason(damaged.to_numpy()),
        "suspicious": _list_by_reason(odd),
        "not_read": _list_by_reason(table.strays),
    }


def _list_by_reason(pairs) -> dict[str, list[str]]:
    """The names of each reason, from pairs (name, reason), the most frequent reason first."""
    names = pd.DataFrame(pairs, columns=["name", "reason"]).groupby("reason", sort=False)["name"].agg(list)
    return names.sort_values(key=lambda lists: -lists.map(len), kind="stable").to_dict()


def find_suspicions(film) -> list[str]:
    """What is odd about a readable film, a row of the table; empty for an ordinary one."""
    (low, high), suffix = ASPECT_RANGE, film.path.suffix.lower()
    is_named = PATIENT_PATTERN.match(film.path.name) is not None
    kind = "JPEG" if film.format == "MPO" else film.format  # an MPO is a JPEG with a preview
    is_misnamed = suffix in IMAGE_SUFFIXES and kind != Image.registered_extensions().get(suffix, "DICOM")
    checks = [
        (is_named and (film.subtype in SUBTYPES.values()) != bool(film.label), "named as the other class"),
        (is_misnamed, f"{film.format} inside, another kind by its name"),
        (film.std_intensity < MIN_STD, "nearly all of one grey level"),
        (min(film.width, film.height) < MIN_SHORT_SIDE, f"short side below {MIN_SHORT_SIDE} pixels"),
        (not low <= film.aspect <= high, f"width over height outside {low} to {high}"),
    ]
    return [reason for is_so, reason in checks if is_so]
