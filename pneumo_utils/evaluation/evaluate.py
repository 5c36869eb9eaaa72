"""A checkpoint evaluated on a split: its predictions and its row of the results file."""

from datetime import date

import numpy as np
import torch

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation.metrics import Predict, Predictions, judge_predictions
from pneumo_utils.evaluation.robustness import compute_stretch_losses
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.runtime import get_versions, make_accelerator


def make_predict(checkpoint: Checkpoint) -> Predict:
    """The checkpoint as a function from N films to calibrated P(pneumonia), float64 (N,)."""
    model = checkpoint.build_model().to(make_accelerator().device).to(memory_format=torch.channels_last)
    reading: dict = {"transform": checkpoint.transform, "flip_average": checkpoint.flip_average}

    def predict(dataset: XrayDataset) -> np.ndarray:
        if dataset.preset != checkpoint.transform.name:
            raise ValueError(
                f"The films are read as {dataset.preset!r}; expected {checkpoint.transform.name!r}."
            )
        return compute_probs(predict_logits(model, dataset.images, **reading), checkpoint.temperature)

    return predict


def predict_dataset(checkpoint: Checkpoint, dataset: XrayDataset) -> Predictions:
    """Calibrated probabilities of the films of a split, which have the checkpoint's image size."""
    return Predictions(dataset.labels, make_predict(checkpoint)(dataset), dataset.patients, dataset.names)


def evaluate(checkpoint: Checkpoint, dataset: XrayDataset) -> tuple[dict, Predictions]:
    """The metrics of a checkpoint, whose thresholds were chosen on validation, on any split.

    Returns a row of plain values for `build/results.json`, all of `judge_predictions`, `screening` (the same
    in short at the screening threshold; None without one) and `stretch_auroc_loss` among them, and the
    predictions it comes from.
    """
    predict, config = make_predict(checkpoint), checkpoint.config
    predictions = Predictions(dataset.labels, predict(dataset), dataset.patients, dataset.names)
    row = {
        "model": checkpoint.model_name,
        "split": dataset.split,
        "data": dataset.source,
        **judge_predictions(predictions, threshold=checkpoint.threshold),
        "screening": _judge_screening(predictions, checkpoint.screening_threshold),
        "stretch_auroc_loss": compute_stretch_losses(predict, dataset),
        "flip_average": checkpoint.flip_average,
        "num_members": checkpoint.num_members,
        "pretrained": checkpoint.pretrained,
        "taught_by": checkpoint.taught_by,
        "strategy": config.strategy,
        "image_size": config.image_size,
        "epoch": checkpoint.val_metrics.get("epoch"),
        "seed": config.seed,
        "chosen_on": "val",
        "trained_on": checkpoint.source,
        "num_skipped": len(dataset.skipped),
        "date": date.today().isoformat(),
        "versions": get_versions(),
    }
    return row, predictions


def _judge_screening(predictions: Predictions, threshold: float | None) -> dict | None:
    if threshold is None:
        return None
    judged = judge_predictions(predictions, threshold=threshold)
    kept = ("accuracy", "sensitivity", "specificity")
    intervals = {name: judged["intervals"][name] for name in kept}
    return {"threshold": threshold, **{name: judged[name] for name in kept}, "intervals": intervals}
