"""Does a saliency map show the model, or only the film? Its maps beside those of untrained networks."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.explain import compute_saliency

NUM_DRAWS = 5
"""Untrained networks; with a single one the median lay between -0.5 and 0.6, by chance."""


@dataclass(frozen=True)
class RandomisationCheck:
    """How alike the maps of a trained model and of untrained networks are.

    Attributes:
        correlations: float64 (N,), -1 to 1, mean over the draws; NaN where no draw gives one, as for a
            film on which nothing speaks for pneumonia.
        median: Over the films, -1 to 1; NaN where all are.
        draw_medians: float64 (D,), the median over the films in each draw: how far chance goes.
    """

    correlations: np.ndarray
    median: float
    draw_medians: np.ndarray


def compute_randomisation_check(
    model: nn.Module,
    images: np.ndarray,
    *,
    transform: EvalTransform,
    flip_average: bool = False,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
    batch_size: int = 32,
) -> RandomisationCheck:
    """Rank correlation between a model's saliency maps and those of its architecture with random weights.

    Near 0 is good: the map depends on what was learnt. Near 1 the map shows edges or brightness of the film,
    which an untrained network shows as well, and says nothing of the model. It is a test that a map can fail,
    not one that proves it right. With maps of 4 x 4 cells a film's own figure is mostly chance: read the
    median, and how far apart those of the draws lie.

    Args:
        model: Of the registry, or an `Ensemble`; it stays untouched, and so do torch's random numbers.
        images: uint8 (N, H, W), 0 to 255.
        transform: The model's own.
        flip_average: As for `compute_saliency`.
        num_draws: D, 1 or more untrained networks.
        seed: Of the first; each further one has the next.
        batch_size: Films at once, 1 or more.

    Raises:
        UsageError: `num_draws` is below 1.
        ValueError: The films are not uint8 (N, H, W).

    Source:
        Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv 1810.03292.
    """
    if num_draws < 1:
        raise UsageError(f"num_draws is {num_draws}; expected 1 or more.")
    settings = {"transform": transform, "flip_average": flip_average, "batch_size": batch_size}
    trained = compute_saliency(model, images, **settings)
    draws = np.full((num_draws, len(trained)), np.nan)
    for draw in range(num_draws):
        untrained = compute_saliency(make_random_copy(model, seed=seed + draw), images, **settings)
        draws[draw] = [_correlate(*pair) for pair in zip(trained, untrained, strict=True)]
    counts = np.isfinite(draws).sum(0)
    means = np.where(counts > 0, np.nansum(draws, 0) / np.maximum(counts, 1), np.nan)
    return RandomisationCheck(means, _compute_median(means), np.array([_compute_median(d) for d in draws]))


def make_random_copy(model: nn.Module, *, seed: int) -> nn.Module:
    """The same architecture with all weights drawn anew, on the same device.

    Every layer draws its weights as torch does when it is made, and batch norm forgets its statistics. A
    parameter that belongs to no such layer has its values shuffled.

    Args:
        model: Any; it stays untouched.
        seed: 0 to 4294967295. The caller's random numbers go on as if nothing had been drawn.
    """
    device = next(model.parameters()).device
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: a draw is the same on every device
        drawn = copy.deepcopy(model).cpu()
        for part in drawn.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
                continue
            for parameter in part.parameters(recurse=False):
                order = torch.randperm(parameter.numel())
                parameter.data = parameter.data.flatten()[order].view_as(parameter)
        return drawn.to(device)


def _correlate(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, of two maps (H, W); NaN where one of them is even."""
    if min(np.ptp(first), np.ptp(second)) < 1e-5:  # a map of one cell is even but for rounding
        return float("nan")
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def _compute_median(values: np.ndarray) -> float:
    """Of those that are numbers; NaN where none is."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
