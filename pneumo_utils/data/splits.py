"""Validation films, cut from the official train split without separating a patient's films."""

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
        dataset: A train split with films of both classes.
        val_fraction: About this share of the films goes to validation, above 0 to 0.5. The share is
            1 / k for a whole number k of folds.

    Returns:
        The train part and the validation part, both sorted by name; no patient is in both.

    Raises:
        PneumoError: A class has too few patients to stand on both sides.
    """
    ordered = dataset.require_both_classes().select(np.argsort(dataset.names, kind="stable"))
    num_folds = max(2, round(1 / val_fraction))
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=SPLIT_SEED)
    try:
        train_index, val_index = next(folds.split(ordered.names, ordered.labels, ordered.patients))
    except ValueError as error:
        raise PneumoError(
            f"{len(dataset)} films of {len(np.unique(dataset.patients))} patients cannot be split into "
            f"train and validation ({error}); expected at least {num_folds} patients of each class. "
            "Add films."
        ) from error
    train, val = ordered.select(train_index), ordered.select(val_index, split="val")
    return train.require_both_classes(), val.require_both_classes()


def choose_films(labels: np.ndarray, max_films: int | None, *, seed: int = 0) -> np.ndarray:
    """Which films the short mode keeps: at most about `max_films`, the classes in proportion.

    Args:
        labels: int64 (N,), 0 or 1.
        max_films: 2 or more; None keeps all.
        seed: Decides which films are taken.

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
