"""What gives the label away without a lung being looked at."""

from dataclasses import asdict, dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumo_utils.audit.facts import FILM_SIZE, THUMBNAIL_SIZE, FilmFacts
from pneumo_utils.audit.repeats import FINE, LOOK, SERIOUS, Finding, find_identical, make_groups
from pneumo_utils.evaluation.saliency import make_lung_mask

GRID_SIZE = 16
"""Height and width, pixels, of a film in the regression; 32 gives the same figures in twice the time."""


def make_patient_groups(films: list[FilmFacts]) -> np.ndarray:
    """int (N,): equal for films of one patient (coarse key) and for films with identical pixels."""
    first, links = {}, []
    for index, film in enumerate(films):
        patient = film.file.patient if film.file.tells_patient else film.file.name
        links.append((first.setdefault(patient, index), index))
    links += [(group[0], other) for group in find_identical(films) for other in group[1:]]
    return make_groups(len(films), links)


def make_features(films: list[FilmFacts]) -> dict[str, np.ndarray]:
    """float (N, K) for each kind of facts; sizes and bytes as logarithms."""
    pictures = [film.picture for film in films]
    modes = sorted({picture.mode for picture in pictures})
    rows = {
        "size": [(np.log(p.width), np.log(p.height)) for p in pictures],
        "aspect": [(p.width / p.height,) for p in pictures],
        "colour mode": [[p.mode == mode for mode in modes] for p in pictures],
        "file bytes": [(np.log(film.num_bytes),) for film in films],
        "compression": [(np.nan_to_num(p.quality), np.isnan(p.quality), p.is_progressive) for p in pictures],
        "mean intensity": [(p.mean,) for p in pictures],
        "marks and borders": [(len(p.marks), _covered_share(p.marks), *p.borders) for p in pictures],
    }
    return {name: np.array(values, dtype=np.float64) for name, values in rows.items()}


def _covered_share(marks) -> float:
    boxes = [mark.box for mark in marks]
    return sum((bottom - top) * (right - left) for top, left, bottom, right in boxes) / FILM_SIZE**2


def make_pixel_features(films: list[FilmFacts]) -> dict[str, np.ndarray]:
    """float (N, 256): the film as 16 x 16 pixels, with its lung fields covered and whole."""
    thumbnails = np.array([film.picture.thumbnail for film in films], dtype=np.float32)
    thumbnails = thumbnails.reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)  # also where there is no film
    covered = np.where(make_lung_mask(THUMBNAIL_SIZE), np.float32(0), thumbnails)
    side = THUMBNAIL_SIZE // GRID_SIZE
    shape = (len(films), GRID_SIZE, side, GRID_SIZE, side)
    return {
        name: pixels.reshape(shape).mean((2, 4)).reshape(len(films), GRID_SIZE**2)
        for name, pixels in (("lungs covered", covered), ("whole film", thumbnails))
    }


NUM_FOLDS = 5
MIN_PATIENTS = 10  # of each class; below, a cross-validated figure is mostly chance
NUM_DRAWS = 500
PENALTY = 0.01  # C of the regression on pixels: 256 neighbours that all say much the same


@dataclass(frozen=True)
class Shortcut:
    """How well one kind of facts predicts the label.

    Attributes:
        auroc: 0 to 1; 0.5 is chance, 1 gives the label away. None where it is undefined.
        interval: Low and high end of the 95 % interval; None where `auroc` is.
        reason: Why it is undefined; empty where it is not.
    """

    auroc: float | None
    interval: tuple[float, float] | None
    reason: str = ""


def compute_shortcuts(films: list[FilmFacts]) -> dict[str, Shortcut]:
    """The shortcut scores, one a kind of facts.

    Each is the AUROC of a logistic regression on these facts alone, cross-validated in 5 folds; films of
    one patient, or with identical pixels, stay in one fold. A regression sees straight relations only,
    so a low score does not prove that there is no shortcut.

    Args:
        films: Readable ones, of one split.

    Returns:
        For size, aspect, colour mode, file bytes, compression, mean intensity, marks and borders, these
        together, and the film as 16 x 16 pixels: lungs covered, and whole, for comparison.
    """
    labels = np.array([film.file.label for film in films], dtype=np.int64)
    groups = make_patient_groups(films)
    facts = make_features(films)
    varying = {name: values for name, values in facts.items() if len(values) and np.ptp(values, axis=0).any()}
    scores = {
        name: compute_shortcut(values, labels, groups)
        if name in varying
        else Shortcut(None, None, "It is the same for all films, so it tells nothing.")
        for name, values in facts.items()
    }
    together = np.hstack([*varying.values(), np.zeros((len(films), 0))])
    scores["all of these"] = compute_shortcut(together, labels, groups)
    for name, pixels in make_pixel_features(films).items():
        scores[name] = compute_shortcut(pixels, labels, groups, penalty=PENALTY)
    return scores


def compute_shortcut(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, penalty: float = 1.0
) -> Shortcut:
    """The cross-validated AUROC of a logistic regression, with its 95 % interval.

    Args:
        features: float (N, K), brought to mean 0 and deviation 1 within each training part.
        labels: int (N,), 0 or 1.
        groups: int (N,); films of one group stay in one fold and are drawn together for the interval.
        penalty: C of the regression; smaller holds it back more.
    """
    patients = [len(np.unique(groups[labels == label])) for label in (0, 1)]
    if min(patients) < MIN_PATIENTS:
        got = f"{patients[0]} patients of class NORMAL and {patients[1]} of class PNEUMONIA"
        return Shortcut(None, None, f"There are {got}; {MIN_PATIENTS} of each are needed.")
    if not features.shape[1]:
        return Shortcut(None, None, "None of these facts differs between films.")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=1000))
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    probs = cross_val_predict(model, features, labels, groups=groups, cv=folds, method="predict_proba")[:, 1]
    return Shortcut(float(roc_auc_score(labels, probs)), _compute_interval(labels, probs, groups))


def _compute_interval(labels: np.ndarray, probs: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap over patients of the scores as they are; the folds are not drawn anew."""
    unique, index = np.unique(groups, return_inverse=True)
    draws = np.random.default_rng(0).multinomial(
        len(unique), np.full(len(unique), 1 / len(unique)), NUM_DRAWS
    )
    aurocs = compute_weighted_aurocs(labels, probs, draws[:, index])
    low, high = np.quantile(aurocs[np.isfinite(aurocs)], [0.025, 0.975])
    return float(low), float(high)


def compute_weighted_aurocs(labels: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The AUROC of each row of weights, all rows at once.

    Args:
        labels: int (N,), 0 or 1.
        probs: float (N,); films that tie count half.
        weights: (D, N), how often each film counts, 0 or more.

    Returns:
        float (D,); NaN where a class has no weight.
    """
    order = np.argsort(probs, kind="stable")
    starts = np.flatnonzero(np.diff(probs[order], prepend=-np.inf))  # where each run of ties begins
    positive = np.add.reduceat((weights * labels)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - labels))[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    with np.errstate(invalid="ignore"):
        return (positive * (below + negative / 2)).sum(1) / (positive.sum(1) * negative.sum(1))


FACTS = ("size", "aspect", "colour mode", "file bytes", "compression", "mean intensity", "marks and borders")
MUCH, SOME = 0.75, 0.6
"""AUROC from which a fact counts as telling much, or something, of the label."""


def describe_shortcuts(films: list[FilmFacts]) -> dict:
    """The scores on the train split, from which models learn, or on all films if there is no such split.

    Args:
        films: Readable ones.

    Returns:
        split, num_films, and scores: auroc, interval and reason by kind of facts.
    """
    has_train = any(film.file.split == "train" for film in films)
    chosen = [film for film in films if film.file.split == "train"] if has_train else films
    scores = {name: asdict(score) for name, score in compute_shortcuts(chosen).items()}
    return {"split": "train" if has_train else "all", "num_films": len(chosen), "scores": scores}


def rate_auroc(auroc: float) -> str:
    """How much an AUROC tells of the label, in words that begin with a verb."""
    if auroc >= 0.9:
        return "nearly gives the label away"
    if auroc >= MUCH:
        return "tells much of the label"
    return "tells something of the label" if auroc >= SOME else "tells hardly more than chance"


def explain_facts(summary: dict):
    """Yields what to make of file facts that predict the label.

    Args:
        summary: From `summarise`.
    """
    scores = summary["shortcuts"]["scores"]
    told = {name: scores[name]["auroc"] for name in FACTS if scores[name]["auroc"] is not None}
    if not told:
        reason = scores["all of these"]["reason"]
        yield Finding(LOOK, "Whether the files give the label away cannot be said.", reason)
        return
    name = max(told, key=told.get)
    others = [f"{other} {told[other]:.2f}" for other in told if told[other] >= SOME and other != name]
    text = (f"Others that tell: {', '.join(others)}. " if others else "") + (
        "No sign of disease was looked for. A model that reads such things scores well here and fails on "
        "films from elsewhere: read all films the same way, and vary in training what differs by class."
    )
    title = f"One fact alone, {name}, {rate_auroc(told[name])}: AUROC {told[name]:.2f}."
    yield Finding(_level(told[name]), title, text if told[name] >= SOME else "")


def explain_covered(summary: dict):
    """Yields what to make of films whose label shows with the lungs covered.

    Args:
        summary: From `summarise`.
    """
    scores = summary["shortcuts"]["scores"]
    covered, whole = scores["lungs covered"]["auroc"], scores["whole film"]["auroc"]
    if covered is None:
        return
    title = f"A film of 16 x 16 pixels with its lungs covered {rate_auroc(covered)}: AUROC {covered:.2f}"
    text = (
        "Position, age, exposure and what lies around the patient differ between the classes. A high score "
        "on such films does not show that a model looks at lungs: cover them and judge the model again."
    )
    yield Finding(_level(covered), f"{title} (uncovered {whole:.2f}).", text)


def _level(auroc: float) -> str:
    return SERIOUS if auroc >= MUCH else LOOK if auroc >= SOME else FINE
