"""Validation films, cut from the official train split without separating a patient's films."""

from functools import lru_cache

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError

NUM_FOLDS = 7  # one of them is for validation
SPLIT_SEED = 0


def make_validation_split(dataset: XrayDataset) -> tuple[XrayDataset, XrayDataset]:
    """The train and the validation part of a train split, grouped by patient and stratified by label.

    Films are sorted by name and the seed is fixed: every model of every run is judged on the same films,
    however a disk lists them. Too few patients are a PneumoError.
    """
    dataset.require_both_classes()
    train_index, val_index = choose_validation(dataset.names, dataset.labels, dataset.patients)
    train, val = dataset.select(train_index), dataset.select(val_index, split="val")
    return train.require_both_classes(), val.require_both_classes()


def choose_validation(names: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> tuple:
    """Indices, int64, of the films that `make_validation_split` takes for training and for validation."""
    order = np.argsort(names, kind="stable")
    columns = (tuple(column[order].tolist()) for column in (labels, patients))
    return tuple(order[index] for index in _split_once(*columns))


@lru_cache(maxsize=4)  # each split at each image size asks again
def _split_once(labels: tuple, patients: tuple) -> tuple[np.ndarray, np.ndarray]:
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=SPLIT_SEED)
    try:
        return next(folds.split(labels, labels, patients))
    except ValueError as error:
        raise PneumoError(
            f"{len(labels)} films of {len(set(patients))} patients cannot be split into train and "
            f"validation ({error}); expected at least {NUM_FOLDS} patients of each class. Add films."
        ) from error


def choose_films(labels: np.ndarray, max_films: int | None) -> np.ndarray:
    """Ascending indices of the films that a short run keeps: about `max_films`, the classes in proportion."""
    if max_films is None or len(labels) <= max_films:
        return np.arange(len(labels))
    rng = np.random.default_rng(0)
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    shares = [max(1, round(max_films * len(index) / len(labels))) for index in classes]
    chosen = [rng.permutation(index)[:share] for index, share in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate(chosen))
