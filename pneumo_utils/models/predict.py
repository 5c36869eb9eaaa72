"""Inference: logits for many films in one loop, a probability from a logit, and what goes to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pneumo_utils.config import EvalTransform

if TYPE_CHECKING:
    import torch
    from torch import nn


def predict_logits(
    model: nn.Module,
    images: np.ndarray | torch.Tensor,
    *,
    transform: EvalTransform,
    flip_average: bool = False,
    batch_size: int = 128,
) -> np.ndarray:
    """Logits of pneumonia, float64 (N,), for films, uint8 (N, H, W), by a model with its own transform.

    The model runs where it is, in evaluation mode, and is put back into the mode it was in. `flip_average`
    takes the mean of the logits of each film and of its mirror image.
    """
    import torch

    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    logits = []
    with torch.no_grad():
        for batch in torch.as_tensor(images).split(batch_size):
            inputs = transform(batch.to(device))
            batch_logits = model(inputs).float()
            if flip_average:
                batch_logits = (batch_logits + model(inputs.flip(-1)).float()) / 2
            logits.append(batch_logits.cpu())
    model.train(was_training)
    return torch.cat(logits).double().numpy() if logits else np.zeros(0)


def compute_probs(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """P(pneumonia), float64 in 0 to 1, from logits (N,); a temperature above 1 makes it less certain."""
    return 1 / (1 + np.exp(-np.clip(np.asarray(logits, dtype=np.float64) / temperature, -700, 700)))


def find_refer_range(limits: tuple[float, float] | None, threshold: float) -> tuple[float, float] | None:
    """The lowest and the highest probability that goes to a person, both included, at a threshold of 0 to 1.

    `limits` are how much probability PNEUMONIA and NORMAL may have at most for the other class to stay
    possible; None, where a model has no band, gives None. Outside of the range the band and the threshold,
    chosen by another rule, name the same class. Fewer films are answered than by the band alone.
    """
    if limits is None:
        return None
    ends = (limits[0], 1 - limits[1], threshold)
    return min(ends), max(ends)
