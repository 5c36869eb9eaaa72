"""What gives the label away without a lung being looked at: a regression on each kind of facts alone."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumo_utils.audit.facts import BORDERS, FILM_SIZE, THUMBNAIL_SIZE
from pneumo_utils.evaluation.metrics import Predictions, compute_intervals, compute_metrics
from pneumo_utils.evaluation.saliency import make_lung_mask

GRID_SIZE = 16  # pixels, of a film in the regression; 32 gives the same figures in twice the time
NUM_FOLDS = 5
MIN_PATIENTS = 10  # of each class; below, a cross-validated figure is mostly chance
NUM_DRAWS = 500
PENALTY = 0.01  # C of the regression on pixels: 256 neighbours that all say much the same


def describe_shortcuts(films: pd.DataFrame) -> dict:
    """The shortcut scores on the train split, from which models learn, or on all films if there is none.

    Each is the AUROC of a logistic regression on one kind of facts alone, cross-validated in 5 folds. It sees
    straight relations only, so a low score does not prove that there is no shortcut.
    """
    split = "train" if (films["split"] == "train").any() else "all"
    if split == "train":
        films = films[films["split"] == "train"]
    labels, groups = films["label"].to_numpy(), make_patient_groups(films)
    scores, varying = {}, [np.zeros((len(films), 0))]
    for name, values in make_features(films).items():
        if len(values) and np.ptp(values, axis=0).any():
            scores[name] = compute_shortcut(values, labels, groups)
            varying.append(values)
        else:
            scores[name] = _leave_undefined("It is the same for all films, so it tells nothing.")
    scores["all of these"] = compute_shortcut(np.hstack(varying), labels, groups)
    for name, pixels in make_pixel_features(films).items():
        scores[name] = compute_shortcut(pixels, labels, groups, penalty=PENALTY)
    return {"split": split, "num_films": len(films), "scores": scores}


def make_patient_groups(films: pd.DataFrame) -> np.ndarray:
    """int (N,): equal for films of one patient (coarse key) and for films with identical pixels.

    What hangs together, directly or through others, is one group.
    """
    patients = pd.factorize(films["patient"].where(films["tells_patient"], films["name"]))[0]
    pictures = len(films) + pd.factorize(films["pixel_hash"])[0]
    links = coo_array((np.ones(len(films)), (patients, pictures)), shape=(2 * len(films), 2 * len(films)))
    return connected_components(links, directed=False)[1][patients]


def make_features(films: pd.DataFrame) -> dict[str, np.ndarray]:
    """float (N, K) for each kind of facts; sizes and bytes as logarithms."""
    quality, marks = films["jpeg_quality"], films["marks"]
    compression = {"quality": quality.fillna(0), "is_other": quality.isna(), "steps": films["is_progressive"]}
    numbers = pd.DataFrame({"marks": marks.map(len), "covered": marks.map(_covered_share)})
    kinds = {
        "size": np.log(films[["width", "height"]].astype(float)),
        "aspect": films[["aspect"]],
        "colour mode": pd.get_dummies(films["mode"]),
        "file bytes": np.log(films[["kilobytes"]].astype(float)),
        "compression": pd.DataFrame(compression),
        "mean intensity": films[["mean_intensity"]],
        "marks and borders": numbers.join(films[list(BORDERS)]),
    }
    return {name: columns.to_numpy(dtype=np.float64) for name, columns in kinds.items()}


def _covered_share(marks: list[tuple[int, int, int, int]]) -> float:
    return sum((bottom - top) * (right - left) for top, left, bottom, right in marks) / FILM_SIZE**2


def make_pixel_features(films: pd.DataFrame) -> dict[str, np.ndarray]:
    """float (N, 256): the film as 16 x 16 pixels, with its lung fields covered and whole."""
    thumbnails = np.array(films["thumbnail"].tolist(), dtype=np.float32)
    thumbnails = thumbnails.reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)  # also where there is no film
    covered = np.where(make_lung_mask(THUMBNAIL_SIZE), np.float32(0), thumbnails)
    side = THUMBNAIL_SIZE // GRID_SIZE
    shape = (len(films), GRID_SIZE, side, GRID_SIZE, side)
    return {
        name: pixels.reshape(shape).mean((2, 4)).reshape(len(films), GRID_SIZE**2)
        for name, pixels in (("lungs covered", covered), ("whole film", thumbnails))
    }


def compute_shortcut(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, penalty: float = 1.0
) -> dict:
    """How well one kind of facts, float (N, K), predicts the label; `penalty` is C of the regression.

    Films of one group stay in one fold and are drawn together for the 95 % interval, without new folds.
    Where it is undefined, auroc and interval are None and reason says why.
    """
    patients = [len(np.unique(groups[labels == label])) for label in (0, 1)]
    if min(patients) < MIN_PATIENTS:
        got = f"{patients[0]} patients of class NORMAL and {patients[1]} of class PNEUMONIA"
        return _leave_undefined(f"There are {got}; {MIN_PATIENTS} of each are needed.")
    if not features.shape[1]:
        return _leave_undefined("None of these facts differs between films.")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=1000))
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    probs = cross_val_predict(model, features, labels, groups=groups, cv=folds, method="predict_proba")[:, 1]
    keys = np.char.mod("group %06d", groups)  # texts, in the order of the numbers
    intervals = compute_intervals(Predictions(labels, probs, keys, keys), threshold=0.5, num_draws=NUM_DRAWS)
    auroc = compute_metrics(labels, probs, threshold=0.5)["auroc"]
    return {"auroc": auroc, "interval": intervals["auroc"], "reason": ""}


def _leave_undefined(reason: str) -> dict:
    return {"auroc": None, "interval": None, "reason": reason}
