"""What a model looks at: Grad-CAM and other saliency maps, their sanity check, and lungs covered."""

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import nn

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.transforms import GREY_MEAN, EvalTransform
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.metrics import NUM_DRAWS, Predictions, compute_intervals, compute_metrics
from pneumo_utils.models.backbone import list_blocks
from pneumo_utils.models.registry import Ensemble

CENTRE = (0.285, 0.49)
"""x and y of the ellipse at the left of the picture, as shares of width and height."""
HALF_AXES = (0.18, 0.40)
"""Half of the width and half of the height of the upright ellipse, as shares."""
TILT_DEG = 12.0
"""How far the top of each ellipse leans towards the spine."""


def make_lung_mask(size: int) -> np.ndarray:
    """Two leaning ellipses that cover the lung fields of most frontal films squashed to a square.

    They were drawn by hand over the mean of 5,840 films of ChestXRay2017 and looked at over 32 single
    films: generous at the flanks and towards the heart, short of the deepest corners behind the
    diaphragm. They know nothing of the single film: where a child lies askew or was cropped, lung stays
    outside. So what is read outside them is not proof of a shortcut, only a strong hint.

    Args:
        size: S, height and width of the film, pixels, 1 or more.

    Returns:
        bool (S, S), True inside a lung field; mirror-symmetric, about 45 % of the film.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected a number of pixels, 1 or more.")
    line = (np.arange(size) + 0.5) / size
    x = np.minimum(line, 1 - line)[None, :] - CENTRE[0]  # folded at the middle: one ellipse does for both
    y = line[:, None] - CENTRE[1]
    cos, sin = math.cos(math.radians(TILT_DEG)), math.sin(math.radians(TILT_DEG))
    across, along = x * cos + y * sin, y * cos - x * sin
    return (across / HALF_AXES[0]) ** 2 + (along / HALF_AXES[1]) ** 2 <= 1


@torch.inference_mode(False)  # gradients are needed, whatever the caller has switched off
def compute_saliency(
    model: nn.Module,
    images: np.ndarray | torch.Tensor,
    *,
    transform: EvalTransform,
    label: int = 1,
    flip_average: bool = False,
    batch_size: int = 32,
) -> np.ndarray:
    """Grad-CAM of the last feature map, at the size of the films; the model stays untouched.

    What is explained is the logit of pneumonia, whatever the answer. So on a film that is called NORMAL the
    map shows what spoke for pneumonia and was outweighed; it is zero throughout where nothing did, as on many
    such films. `label=0` shows what spoke against pneumonia, for films that were missed. Each map is scaled
    on its own: it tells where, never how much, and the brightness of two maps cannot be compared.

    In the course's models nothing but the mean and a weighted sum follows the last feature map, so that each
    cell of it adds its own part to the logit, and the map shows the parts above zero. Its cells are 32
    pixels wide: 7 x 7 for a film of 224 pixels, 4 x 4 for 128; the 2 x 2 for 64 tell no more than the
    quarter. Earlier maps are finer, but there Grad-CAM misleads: on validation films it had next to nothing
    in common with what the logit loses when a patch is covered.

    Args:
        model: Of the registry, or an `Ensemble`: the mean of its members' maps, each scaled first.
        images: uint8 (N, H, W), 0 to 255.
        transform: The model's own.
        label: 1 explains the logit, 0 its negative.
        flip_average: Whether the answer is the mean over film and mirror image; so is the map then.
        batch_size: Films at once, 1 or more; it has no effect on the result.

    Returns:
        float32 (N, H, W), 0 (says nothing for this label) to 1 (the most of this film).

    Raises:
        ValueError: The films are not uint8 (N, H, W).
        UsageError: The model has no feature maps, or the label is not 0 or 1.

    Source:
        Selvaraju et al., Grad-CAM, ICCV 2017, arXiv 1610.02391; on such a last map it is the class
        activation map of Zhou et al., CVPR 2016, arXiv 1512.04150, cut off at zero.
    """
    films = torch.as_tensor(images)
    if films.ndim != 3 or films.dtype != torch.uint8:
        raise ValueError(f"images is {films.dtype} {tuple(films.shape)}; expected uint8 (N, H, W).")
    members = model.members if isinstance(model, Ensemble) else [model]
    explainers = [_build_explainer(member, transform.image_size, label) for member in members]
    device, size = next(model.parameters()).device, films.shape[1:]
    saliency = np.zeros(films.shape, np.float32)
    for start in range(0, len(films), batch_size):
        inputs = transform(films[start : start + batch_size].to(device))
        maps = [_explain(explainer, inputs, size) for explainer in explainers]
        if flip_average:
            maps += [_explain(explainer, inputs.flip(-1), size).flip(-1) for explainer in explainers]
        saliency[start : start + batch_size] = _scale(sum(maps)).cpu().numpy()
    return saliency


def _build_explainer(model: nn.Module, image_size: int, label: int):
    """captum's Grad-CAM on a copy: modes, hooks, gradients and flags of the model stay as they are."""
    from captum.attr import LayerGradCam

    if label not in (0, 1):
        raise UsageError(f"label is {label}; expected 0 (NORMAL) or 1 (PNEUMONIA).")
    copied, sign = copy.deepcopy(model).eval().requires_grad_(False), 2 * label - 1
    return LayerGradCam(lambda inputs: sign * copied(inputs), _find_last_map(copied, image_size))


def _find_last_map(model: nn.Module, image_size: int) -> nn.Module:
    """The last part with an output (1, C, h, h), h above 1 if there is one, seen on an empty film."""
    if not hasattr(model, "blocks") and not hasattr(model, "features"):
        raise UsageError(f"{type(model).__name__} names no parts; expected a model of the registry.")
    found = []
    handles = [
        block.register_forward_hook(lambda part, _, output: found.append((part, output.shape)))
        for block in list_blocks(model)
    ]
    with torch.no_grad():
        model(torch.zeros(1, 1, image_size, image_size, device=next(model.parameters()).device))
    for handle in handles:
        handle.remove()
    maps = [(part, shape[-1]) for part, shape in found if len(shape) == 4 and shape[2] == shape[3]]
    if not maps:
        raise UsageError(f"{type(model).__name__} has no maps of features to explain; expected a CNN.")
    return next((part for part, extent in reversed(maps) if extent > 1), maps[-1][0])


def _explain(explainer, inputs: torch.Tensor, size) -> torch.Tensor:
    """Maps (B, H, W), each scaled to a maximum of 1."""
    maps = explainer.attribute(inputs, relu_attributions=True).detach()
    return _scale(F.interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0])


def _scale(maps: torch.Tensor) -> torch.Tensor:
    peaks = maps.amax((1, 2), keepdim=True)
    return torch.where(peaks > 0, maps / peaks, torch.zeros_like(maps))


def compute_lung_share(saliency: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """How much of each map lies inside the rough lung field.

    A map that is the same everywhere gives the area share of the mask, `compute_even_share`, about 0.45: only
    above that does the map favour the lungs. The medians of untrained networks lay between 0.2 and 0.53, so
    a little more proves nothing. And cells are coarse: with 4 x 4 of them no map can have less than 0.12 or
    more than 0.87, with 2 x 2 all maps lie within 0.02 of the area share.

    Args:
        saliency: float (N, H, W), 0 or more.
        mask: bool (H, W); that of `make_lung_mask` if None.

    Returns:
        float64 (N,), 0 (none) to 1 (all); NaN where a map is zero throughout.

    Raises:
        ValueError: The mask is not bool, or of another size than the maps.
    """
    mask = make_lung_mask(saliency.shape[-1]) if mask is None else mask
    if saliency.ndim != 3 or mask.dtype != bool or mask.shape != saliency.shape[1:]:
        got = f"saliency has shape {saliency.shape} and mask is {mask.dtype} {mask.shape}"
        raise ValueError(f"{got}; expected (N, H, W) and bool (H, W).")
    inside = saliency[:, mask].sum(1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return inside / saliency.sum((1, 2), dtype=np.float64)


def compute_even_share(image_size: int) -> float:
    """The lung share of a map that is the same everywhere, 0 to 1: the area share of the rough lung field."""
    return float(make_lung_mask(image_size).mean())


NUM_COPIES = 5
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
    num_draws: int = NUM_COPIES,
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
