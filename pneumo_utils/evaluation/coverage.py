"""Does a model need the lungs? The films of a split judged with the lungs covered, and with all else."""

from dataclasses import replace

import numpy as np

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.lung_field import make_lung_mask
from pneumo_utils.data.transforms import GREY_MEAN
from pneumo_utils.evaluation.bootstrap import NUM_DRAWS
from pneumo_utils.evaluation.metrics import compute_intervals, compute_metrics
from pneumo_utils.evaluation.predictions import Predictions

COVER_GREY = round(255 * GREY_MEAN)
"""The cover's grey level, 0 to 255, in all films: the one that the models' transform turns into about 0.

A constant gives nothing of the label away. The mean of the film, or of what lies under the cover, would:
lungs with pneumonia are brighter. Black would not either, but to a model it is the darkest thing there is,
like air; a 0 is what it is used to beyond the edge of every film, where convolutions pad with it.
"""


def cover_lungs(images: np.ndarray) -> np.ndarray:
    """Films with the rough lung field of `make_lung_mask` under an even grey.

    Args:
        images: uint8 (N, S, S), 0 to 255.

    Returns:
        uint8 (N, S, S), a copy.

    Raises:
        ValueError: The films are not uint8, or not square.
    """
    return _cover(images, lungs=True)


def cover_rest(images: np.ndarray) -> np.ndarray:
    """Films with all but the rough lung field under an even grey; otherwise as `cover_lungs`."""
    return _cover(images, lungs=False)


def _cover(images: np.ndarray, *, lungs: bool) -> np.ndarray:
    if images.ndim != 3 or images.dtype != np.uint8 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images is {images.dtype} {images.shape}; expected uint8 (N, S, S).")
    covered = images.copy()
    covered[:, make_lung_mask(images.shape[1]) == lungs] = COVER_GREY
    return covered


def compute_coverage(predict, dataset: XrayDataset, *, num_draws: int = NUM_DRAWS, seed: int = 0) -> dict:
    """The AUROC on films as they are, with the lungs covered, and with everything else covered.

    A model that reads the lungs keeps most of its AUROC with the rest covered and falls towards 0.5 with the
    lungs covered. What stays well above 0.5 then is told from outside the lungs: a shortcut, or lung that
    the rough field leaves out. Compare the two covers with each other: a covered film is unlike any that the
    model was trained on, so that some loss is owed to the strangeness alone. And only the ranking can be
    read; probabilities, thresholds and calibration mean nothing on covered films.

    Args:
        predict: Maps a data set to probabilities of pneumonia, float (N,), 0 to 1.
        dataset: N films.
        num_draws: Bootstrap draws for the intervals, 1 or more.
        seed: Of the draws, which are of the same patients for all three.

    Returns:
        {"whole", "lungs_covered", "rest_covered"}: AUROC, 0 to 1, None where a class has no film; and
        "intervals": the same names, each (low, high), 95 % by patient, None and None where undefined.
    """
    ways = {"whole": np.copy, "lungs_covered": cover_lungs, "rest_covered": cover_rest}
    if len(np.unique(dataset.labels)) < 2:
        return dict.fromkeys(ways) | {"intervals": dict.fromkeys(ways, (None, None))}
    aurocs, intervals = {}, {}
    for name, cover in ways.items():
        probs = predict(replace(dataset, images=cover(dataset.images)))
        judged = Predictions(dataset.labels, probs, dataset.patients, dataset.names)
        aurocs[name] = compute_metrics(judged.labels, judged.probs, threshold=0.5)["auroc"]
        intervals[name] = compute_intervals(judged, threshold=0.5, num_draws=num_draws, seed=seed)["auroc"]
    return aurocs | {"intervals": intervals}
