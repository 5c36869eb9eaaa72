"""Validation films, cut from the official train split without separating a patient's films."""

from functools import lru_cache

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError

VAL_FRACTION = 0.15
SPLIT_SEED = 0


def make_validation_split(
    dataset: XrayDataset, *, val_fraction: float = VAL_FRACTION
) -> tuple[XrayDataset, XrayDataset]:
    """Cuts validation films from a train split, grouped by patient and stratified by label.

    The films are sorted by name first, so the outcome does not depend on how a disk lists them, and
    the seed is fixed: every model of every run is judged on the same films.

    Args:
        val_fraction: About this share of the films, above 0 to 0.5; 1 / k for a whole number k of folds.

    Returns:
        The train part and the validation part, both sorted by name; no patient is in both.

    Raises:
        PneumoError: A class has too few patients to stand on both sides.
    """
    about = dataset.require_both_classes()
    columns = (about.names, about.labels, about.patients)
    train_index, val_index = choose_validation(*columns, val_fraction=val_fraction)
    train, val = dataset.select(train_index), dataset.select(val_index, split="val")
    return train.require_both_classes(), val.require_both_classes()


def choose_validation(
    names: np.ndarray, labels: np.ndarray, patients: np.ndarray, *, val_fraction: float = VAL_FRACTION
) -> tuple[np.ndarray, np.ndarray]:
    """Which films `make_validation_split` takes for training and which for validation.

    Returns:
        Two int64 arrays of indices into names, labels and patients, each in the order of the names.

    Raises:
        PneumoError: A class has too few patients to stand on both sides.
    """
    order = np.argsort(names, kind="stable")
    num_folds = max(2, round(1 / val_fraction))
    columns = (tuple(column[order].tolist()) for column in (labels, patients))
    return tuple(order[index] for index in _split_once(*columns, num_folds))


@lru_cache(maxsize=4)  # each split at each image size asks again
def _split_once(labels: tuple, patients: tuple, num_folds: int) -> tuple[np.ndarray, np.ndarray]:
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=SPLIT_SEED)
    try:
        return next(folds.split(labels, labels, patients))
    except ValueError as error:
        raise PneumoError(
            f"{len(labels)} films of {len(set(patients))} patients cannot be split into train and "
            f"validation ({error}); expected at least {num_folds} patients of each class. Add films."
        ) from error


def choose_films(labels: np.ndarray, max_films: int | None, *, seed: int = 0) -> np.ndarray:
    """Which films the short mode keeps: at most about `max_films`, the classes in proportion.

    Args:
        labels: int64 (N,), 0 or 1.
        max_films: 2 or more; None keeps all.

    Returns:
        int64 (M,), ascending indices into `labels`.
    """
    if max_films is None or len(labels) <= max_films:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    shares = [max(1, round(max_films * len(index) / len(labels))) for index in classes]
    chosen = [rng.permutation(index)[:share] for index, share in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate(chosen))
