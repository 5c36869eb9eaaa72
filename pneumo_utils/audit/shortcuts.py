"""What gives the label away, or the split, without a lung being looked at: a regression on facts alone."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumo_utils.audit.facts import BORDERS, FILM_SIZE, THUMBNAIL_SIZE
from pneumo_utils.config import CLASS_NAMES, EvalTransform
from pneumo_utils.data.augmentation import make_lung_mask
from pneumo_utils.evaluation.metrics import Predictions, compute_intervals
from pneumo_utils.models.backbone import EfficientnetLite0Finetune
from pneumo_utils.models.predict import predict_logits

GRID_SIZE = 16  # pixels, of a film in the regression; 32 gives the same figures in twice the time
NUM_FOLDS = 5
MIN_PATIENTS = 10  # of each class; below, a cross-validated figure is mostly chance
NUM_DRAWS = 500
NUM_PERMUTED = 3
PIXEL_C = 0.01  # of the regression on pixels: neighbours that all say much the same


def describe_shortcuts(films: pd.DataFrame) -> dict:
    """The shortcut scores on the train split, from which models learn, or on all films if there is none.

    Each is the AUROC of a logistic regression on one kind of facts alone, cross-validated in 5 folds. It sees
    straight relations only, so a low score does not prove that there is no shortcut.
    """
    train = films[films["split"] == "train"]
    split, films = ("all", films) if train.empty else ("train", train)
    labels, groups = films["label"].to_numpy(), make_patient_groups(films)
    features = make_features(films)
    features["all of these"] = np.hstack(list(features.values()))
    scores = {name: compute_shortcut(values, labels, groups) for name, values in features.items()}
    for name, pixels in make_pixel_features(films).items():
        scores[name] = compute_shortcut(pixels, labels, groups, c=PIXEL_C)
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
    areas = marks.map(lambda boxes: sum((box[2] - box[0]) * (box[3] - box[1]) for box in boxes))
    numbers = pd.DataFrame({"marks": marks.map(len), "covered": areas / FILM_SIZE**2})
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


def make_pixel_features(films: pd.DataFrame, size: int = GRID_SIZE) -> dict[str, np.ndarray]:
    """float (N, size * size): the film as so many pixels a side, with its lung fields covered and whole."""
    thumbnails = np.array(films["thumbnail"].tolist(), dtype=np.float32)
    thumbnails = thumbnails.reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)  # also where there is no film
    covered = np.where(make_lung_mask(THUMBNAIL_SIZE), np.float32(0), thumbnails)
    shape = (len(films), size, THUMBNAIL_SIZE // size, size, THUMBNAIL_SIZE // size)
    return {
        name: pixels.reshape(shape).mean((2, 4)).reshape(len(films), size**2)
        for name, pixels in (("lungs covered", covered), ("whole film", thumbnails))
    }


def compute_shortcut(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, c: float = 1.0, names=CLASS_NAMES
) -> dict:
    """How well one kind of facts, float (N, K), predicts the label; `c` is the inverse penalty.

    Films of one group stay in one fold and are drawn together for the 95 % interval, without new folds.
    Where it is undefined, auroc and interval are None and reason says why, by the labels' `names`.
    """
    patients, reason = [len(np.unique(groups[labels == label])) for label in (0, 1)], ""
    if len(features) and not np.ptp(features, axis=0).any():
        reason = "It is the same for all films, so it tells nothing."
    elif min(patients) < MIN_PATIENTS:
        got = f"{patients[0]} patients of {names[0]} and {patients[1]} of {names[1]}"
        reason = f"There are {got}; {MIN_PATIENTS} of each are needed."
    if reason:
        return {"auroc": None, "interval": None, "reason": reason}
    probs = _cross_validate(features, labels, groups, c)
    keys = np.char.mod("group %06d", groups)  # texts, in the order of the numbers
    intervals = compute_intervals(Predictions(labels, probs, keys, keys), threshold=0.5, num_draws=NUM_DRAWS)
    return {"auroc": float(roc_auc_score(labels, probs)), "interval": intervals["auroc"], "reason": ""}


def _cross_validate(features, labels, groups, c: float) -> np.ndarray:
    """P(label 1) of each film, float (N,), by a regression on the other folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    return cross_val_predict(model, features, labels, groups=groups, cv=folds, method="predict_proba")[:, 1]


def describe_split_shift(films: pd.DataFrame) -> list[dict]:
    """What `compute_split_shift` gives by kind of facts for all films and for each class; of two splits only.

    The network is ImageNet's: one of ours would know its train films.
    """
    films = films[films["split"].isin(("train", "test"))]
    if films["split"].nunique() < 2:
        return []
    is_test, patients = (films["split"] == "test").to_numpy(), make_patient_groups(films)
    parts = {"all films": films["label"] >= 0} | {name: films["class_name"] == name for name in CLASS_NAMES}
    size, tones = make_features(films)["size"], films[["mean_intensity", "std_intensity"]]
    kinds = {"size and tones": np.hstack([size, tones])}
    kinds["8 x 8 pixels"] = make_pixel_features(films, 8)["whole film"]
    network, images = EfficientnetLite0Finetune(), np.stack(films["thumbnail"])
    network.use_imagenet_state(network.fetch_imagenet_state())
    features = predict_logits(network.backbone, images, transform=EvalTransform(THUMBNAIL_SIZE))
    kinds["ImageNet features"] = features
    return [
        {"facts": kind, "films": part, **compute_split_shift(values[i], is_test[i], patients[i])}
        for kind, values in kinds.items()
        for part, i in parts.items()
    ]


def compute_split_shift(features: np.ndarray, is_test: np.ndarray, patients: np.ndarray) -> dict:
    """How well features, float (N, K), tell test films from train films: a classifier two-sample test.

    What `compute_shortcut` gives for the label `is_test`, bool (N,), and permuted: the mean AUROC of 3 runs
    in which patients, keys of any type (N,), are dealt to the splits by lot. Films of one origin give 0.5.

    Source: Lopez-Paz and Oquab, ICLR 2017, arXiv 1610.06545.
    """
    labels, groups = np.asarray(is_test, dtype=int), np.unique(patients, return_inverse=True)[1]
    score = compute_shortcut(features, labels, groups, c=PIXEL_C, names=("train", "test"))
    if score["auroc"] is None:
        return score | {"permuted": None}
    _, first, place = np.unique(2 * groups + labels, return_index=True, return_inverse=True)
    rng = np.random.default_rng(0)
    dealt = [rng.permutation(labels[first])[place] for _ in range(NUM_PERMUTED)]
    permuted = [roc_auc_score(d, _cross_validate(features, d, groups, PIXEL_C)) for d in dealt]
    return score | {"permuted": float(np.mean(permuted))}
