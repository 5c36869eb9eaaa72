"""Does a model read how a film was squashed? The films of a split stretched, and judged again."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from pneumo_utils.data.dataset import XrayDataset

STRETCH = 1.2
"""A width or height of 120 %, or of 1 / 120 %."""


def stretch_films(images: np.ndarray, *, width: float = 1.0, height: float = 1.0) -> np.ndarray:
    """Films widened or heightened about their centre, in a frame of the same size.

    What grows beyond the frame is cut off; what is left free is filled with the film's edge.

    Args:
        images: uint8 (N, H, W).
        width: Factor of the width, above 0.
        height: Factor of the height, above 0.

    Returns:
        uint8 (N, H, W).
    """
    theta = torch.tensor([[1 / width, 0.0, 0.0], [0.0, 1 / height, 0.0]])
    stretched = np.empty_like(images)
    for start in range(0, len(images), 256):
        levels = torch.from_numpy(images[start : start + 256]).unsqueeze(1).float()
        grid = F.affine_grid(theta.expand(len(levels), 2, 3), list(levels.shape), align_corners=False)
        levels = F.grid_sample(levels, grid, padding_mode="border", align_corners=False)
        stretched[start : start + 256] = levels[:, 0].round().clamp(0, 255).byte().numpy()
    return stretched


def compute_stretch_losses(
    predict, dataset: XrayDataset, *, stretch: float = STRETCH
) -> dict[str, float] | None:
    """The AUROC lost when all films of a split are stretched.

    Args:
        predict: Maps a data set to scores, float (N,), that rank its films.
        dataset: N films.
        stretch: The factor; width and height are multiplied and divided by it, one at a time.

    Returns:
        AUROC on the films as they are minus AUROC on the stretched ones, for "wider", "narrower",
        "taller" and "flatter"; negative where the stretched ones are ranked better. None where a class
        has no film.
    """
    if len(np.unique(dataset.labels)) < 2:
        return None
    before = roc_auc_score(dataset.labels, predict(dataset))
    factors = {
        "wider": {"width": stretch},
        "narrower": {"width": 1 / stretch},
        "taller": {"height": stretch},
        "flatter": {"height": 1 / stretch},
    }
    losses = {}
    for name, factor in factors.items():
        films = replace(dataset, images=stretch_films(dataset.images, **factor))
        losses[name] = float(before - roc_auc_score(dataset.labels, predict(films)))
    return losses
