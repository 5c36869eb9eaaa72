"""A checkpoint judged on a split: its predictions and its row of the results file."""

from collections.abc import Callable
from datetime import date

import numpy as np
import torch

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation.metrics import Predictions, compute_intervals, compute_metrics
from pneumo_utils.evaluation.robustness import compute_stretch_losses
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.runtime import get_versions, make_accelerator


def predict_dataset(checkpoint: Checkpoint, dataset: XrayDataset) -> Predictions:
    """Calibrated probabilities of all films of a split.

    Args:
        checkpoint: A trained model.
        dataset: N films, of the checkpoint's image size.

    Returns:
        N predictions, in the order of the films.
    """
    probs = make_predict(checkpoint)(dataset)
    return Predictions(dataset.labels, probs, dataset.patients, dataset.names)


def make_predict(checkpoint: Checkpoint) -> Callable[[XrayDataset], np.ndarray]:
    """The checkpoint as a function from films to calibrated probabilities, its model built once.

    Args:
        checkpoint: A trained model.

    Returns:
        Maps a data set of N films to P(pneumonia), float64 (N,).
    """
    model = checkpoint.build_model().to(make_accelerator().device, memory_format=torch.channels_last)

    def predict(dataset: XrayDataset) -> np.ndarray:
        logits = predict_logits(
            model, dataset.images, transform=checkpoint.transform, flip_average=checkpoint.flip_average
        )
        return compute_probs(logits, checkpoint.temperature)

    return predict


def evaluate(checkpoint: Checkpoint, dataset: XrayDataset) -> tuple[dict, Predictions]:
    """The figures of a checkpoint on a split.

    Args:
        checkpoint: A trained model; its threshold was chosen on validation.
        dataset: Films of any split.

    Returns:
        A row of plain values for `build/results.json`: what was judged on what, every figure of
        `compute_metrics`, `intervals` (95 %, by patient), `screening` (the figures at the screening
        threshold), `stretch_auroc_loss` and what the choices were made on; and the predictions it
        comes from.
    """
    predict = make_predict(checkpoint)
    predictions = Predictions(dataset.labels, predict(dataset), dataset.patients, dataset.names)
    threshold = checkpoint.threshold
    row = {
        "model": checkpoint.model_name,
        "split": dataset.split,
        "data": dataset.source,
        **compute_metrics(predictions.labels, predictions.probs, threshold=threshold),
        "threshold": threshold,
        "intervals": compute_intervals(predictions, threshold=threshold),
        "screening": _judge_screening(checkpoint, predictions),
        "stretch_auroc_loss": compute_stretch_losses(predict, dataset),
        "flip_average": checkpoint.flip_average,
        "num_members": checkpoint.num_members,
        "pretrained": checkpoint.pretrained,
        "strategy": checkpoint.config.strategy,
        "image_size": checkpoint.config.image_size,
        "epoch": checkpoint.val_metrics.get("epoch"),
        "seed": checkpoint.config.seed,
        "chosen_on": "val",
        "trained_on": checkpoint.source,
        "num_skipped": len(dataset.skipped),
        "date": date.today().isoformat(),
        "versions": get_versions(),
    }
    return row, predictions


def _judge_screening(checkpoint: Checkpoint, predictions: Predictions) -> dict | None:
    """The figures at the screening threshold; None where the checkpoint has none."""
    threshold = checkpoint.screening_threshold
    if threshold is None:
        return None
    figures = compute_metrics(predictions.labels, predictions.probs, threshold=threshold)
    kept = ("accuracy", "sensitivity", "specificity")
    intervals = compute_intervals(predictions, threshold=threshold)
    return {
        "threshold": threshold,
        **{name: figures[name] for name in kept},
        "intervals": {name: intervals[name] for name in kept},
    }
