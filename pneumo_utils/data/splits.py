"""Validation films, cut from the official train split without separating a patient's films."""

from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError

NUM_FOLDS = 7  # one of them is for validation
SPLIT_SEED = 0
OF_CHESTXRAY2017 = Path(__file__).parent / "validation_patients.txt"  # of a copy with 5,216 training films


def make_validation_split(
    dataset: XrayDataset, patients: set[str] | None = None
) -> tuple[XrayDataset, XrayDataset]:
    """The train and the validation part of a train split, both sorted by name.

    `patients` are those for validation; None takes what `choose_patients` says, with its errors.
    """
    dataset.require_both_classes()
    if patients is None:
        patients = choose_patients(dataset.names, dataset.labels, dataset.patients)
    order = np.argsort(dataset.names, kind="stable")
    is_val = np.isin(dataset.patients[order], list(patients))
    train, val = dataset.select(order[~is_val]), dataset.select(order[is_val], split="val")
    return train.require_both_classes(), val.require_both_classes()


def choose_patients(names: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> set[str]:
    """The patients for validation, of films of a train split in any order: columns (N,), N the films.

    Those of ChestXRay2017 are written down, so that a film which is absent, damaged or added moves no other
    film across. Of other films one in seven is taken, grouped by patient and stratified by label, from a
    fixed seed: every model is judged on the same films. Too few patients are a PneumoError.
    """
    known = set(OF_CHESTXRAY2017.read_text(encoding="utf-8").split())
    if 2 * len(known.intersection(patients)) > len(known):
        return known
    labels, patients = (column[np.argsort(names, kind="stable")] for column in (labels, patients))
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=SPLIT_SEED)
    try:
        _, val_index = next(folds.split(labels, labels, patients))
    except ValueError as error:
        raise PneumoError(
            f"{len(labels)} films of {len(set(patients))} patients cannot be split into train and "
            f"validation ({error}); expected at least {NUM_FOLDS} patients of each class. Add films."
        ) from error
    return set(patients[val_index])


def choose_films(labels: np.ndarray, max_films: int | None) -> np.ndarray:
    """Ascending indices of the films that a short run keeps: about `max_films`, the classes in proportion."""
    if max_films is None or len(labels) <= max_films:
        return np.arange(len(labels))
    rng = np.random.default_rng(0)
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    shares = [max(1, round(max_films * len(index) / len(labels))) for index in classes]
    chosen = [rng.permutation(index)[:share] for index, share in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate(chosen))
