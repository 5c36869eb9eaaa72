"""Subgroup analysis: where in a split a model is worse (not why: parts rarely differ in one thing only)."""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import Predictions, judge_predictions
from pneumo_utils.evaluation.results import format_share

FIGURES = {"sensitivity": 1, "specificity": 0}  # and the label of the films that each is computed from


def compute_subgroups(predictions: Predictions, dataset: XrayDataset, *, threshold: float) -> list[dict]:
    """The metrics of a model on parts of a split: by subtype, brightness, original size and patient.

    The thirds by brightness (mean grey level) and by original size (pixels) are those of each class on its
    own, for most large films are NORMAL: "bright" is bright for a film of its class. Ties stay together.

    Returns a row of plain values for each part that has a film: grouping, part, n (films), num_patients,
    sensitivity and specificity (0 to 1, None where the part has no film of the class), and their intervals,
    95 % by patient, None and None where a class has fewer than two patients.
    """
    if not np.array_equal(predictions.names, dataset.names):
        raise PneumoError("The predictions are of other films or in another order; use one split for both.")
    rows = []
    for grouping, part, inside in _list_parts(dataset):
        if inside.any():
            films = Predictions(*(values[inside] for values in vars(predictions).values()))
            rows.append({"grouping": grouping, "part": part, **_judge(films, threshold)})
    return rows


def _list_parts(dataset: XrayDataset) -> Iterator[tuple[str, str, np.ndarray]]:
    """Grouping, part and which films are in it, bool (N,)."""
    for subtype in ("bacterial", "viral"):
        yield "subtype", subtype, dataset.subtypes == subtype
    brightness = dataset.images.mean((1, 2))
    groupings = {"brightness": (("dark", "middle", "bright"), _find_thirds(brightness, dataset.labels))}
    num_pixels = None if dataset.sizes is None else np.prod(dataset.sizes, axis=1, dtype=np.int64)
    if num_pixels is not None and np.ptp(num_pixels):  # films that were squashed before tell nothing
        groupings["original size"] = ("small", "middle", "large"), _find_thirds(num_pixels, dataset.labels)
    _, index, counts = np.unique(dataset.patients, return_inverse=True, return_counts=True)
    groupings["films of the patient"] = ("1", "2", "3 or more"), counts.clip(max=3)[index] - 1
    for grouping, (parts, numbers) in groupings.items():
        for number, part in enumerate(parts):
            yield grouping, part, numbers == number


def _find_thirds(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The third of its class that each film is in, int (N,), 0 to 2."""
    thirds = np.zeros(len(values), dtype=np.int64)
    for label in np.unique(labels):
        of_class = labels == label
        limits = np.quantile(values[of_class], [1 / 3, 2 / 3])
        thirds[of_class] = np.searchsorted(limits, values[of_class])
    return thirds


def _judge(films: Predictions, threshold: float) -> dict:
    judged = judge_predictions(films, threshold=threshold)
    shares, intervals = {name: judged[name] for name in FIGURES}, {}
    for name, label in FIGURES.items():
        num_patients = len(np.unique(films.patients[films.labels == label]))
        intervals[name] = _give_width(judged["intervals"][name], shares[name], num_patients)
    return {"n": len(films), "num_patients": films.num_patients, **shares, "intervals": intervals}


def _give_width(interval: tuple, share: float | None, num_patients: int) -> tuple:
    """The interval; Clopper and Pearson's over patients where these are all alike and leave but a point."""
    from statsmodels.stats.proportion import proportion_confint

    if share is None or num_patients < 2 or interval[0] is None:
        return None, None
    if interval[0] < interval[1]:
        return interval
    low, high = proportion_confint(share * num_patients, num_patients, method="beta")
    return float(low), float(high)


def describe_subgroups(rows: list[dict]) -> list[str]:
    """Whether the parts of each grouping differ clearly: a sentence for each figure.

    They do where their 95 % intervals lie apart, which asks for more than a test at 5 % does: "no clear
    difference" is no proof that there is none.
    """
    sentences, groupings = [], dict.fromkeys(row["grouping"] for row in rows)
    for grouping, figure in product(groupings, FIGURES):
        parts = [row for row in rows if row["grouping"] == grouping and row[figure] is not None]
        if parts:
            sentences.append(f"{figure.capitalize()} by {grouping}: {_compare_parts(parts, figure)}.")
    return sentences


def _compare_parts(parts: list[dict], figure: str) -> str:
    parts = [row for row in parts if row["intervals"][figure][0] is not None]
    if len(parts) < 2:
        return "nothing to compare, fewer than two parts have two or more patients of the class"

    def show(row: dict) -> str:
        return f"{row['part']} {format_share(row, figure)}"

    ranked = sorted(parts, key=lambda row: row[figure], reverse=True)
    apart = [
        f"{show(high)} is above {show(low)}"
        for high, low in combinations(ranked, 2)
        if high["intervals"][figure][0] > low["intervals"][figure][1]
    ]
    if apart:
        return f"{'; '.join(apart)}; the intervals lie apart"
    return f"no clear difference, the intervals overlap: {', '.join(map(show, parts))}"
