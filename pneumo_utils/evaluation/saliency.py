"""What a model looks at: saliency maps (Grad-CAM), their sanity check, films with the lungs covered.

A map shows what each cell of the last feature map, 32 pixels wide, adds to the logit. Earlier maps are finer,
but there Grad-CAM had next to nothing in common with what the logit loses when a patch is covered.
"""

import copy
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import nn

from pneumo_utils.config import GREY_MEAN, EvalTransform
from pneumo_utils.data.augmentation import make_lung_mask
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.metrics import Predict, Predictions, judge_predictions
from pneumo_utils.models.backbone import list_blocks
from pneumo_utils.models.registry import Ensemble

NUM_COPIES = 5  # untrained networks; with a single one the median lay between -0.5 and 0.6, by chance
# About 0 to the models. Black would look like air, and a film's own mean would give the label away: lungs
# with pneumonia are brighter.
COVER_GREY = round(255 * GREY_MEAN)


@torch.inference_mode(False)  # gradients are needed, whatever the caller has switched off
def compute_saliency(
    model: nn.Module,
    images: np.ndarray | torch.Tensor,
    *,
    transform: EvalTransform,
    flip_average: bool = False,
    batch_size: int = 32,
) -> np.ndarray:
    """Grad-CAM of the last feature map, float32 (N, H, W), 0 to 1, of films, uint8 (N, H, W).

    What is explained is the logit of pneumonia, whatever the answer: on a film that is called NORMAL the map
    shows what spoke for pneumonia and was outweighed, and is 0 throughout where nothing did. Each map is
    scaled on its own: it tells where, never how much. That of an `Ensemble` is the mean of its members' maps,
    that of an answer with `flip_average` the mean over film and mirror image. The model stays untouched.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017, arXiv 1610.02391; on such a last map it is the class
    activation map of Zhou et al., CVPR 2016, arXiv 1512.04150, cut off at zero.
    """
    films = torch.as_tensor(images)
    if films.ndim != 3 or films.dtype != torch.uint8:
        raise ValueError(f"images is {films.dtype} {tuple(films.shape)}; expected uint8 (N, H, W).")
    members = model.members if isinstance(model, Ensemble) else [model]
    explainers = [_build_explainer(member, transform.image_size) for member in members]
    device, saliency = next(model.parameters()).device, np.zeros(films.shape, np.float32)
    for start in range(0, len(films), batch_size):
        batch = films[start : start + batch_size]
        inputs, size = transform(batch.to(device)), batch.shape[1:]
        maps = [_explain(explainer, inputs, size) for explainer in explainers]
        if flip_average:
            maps += [_explain(explainer, inputs.flip(-1), size).flip(-1) for explainer in explainers]
        saliency[start : start + batch_size] = _scale(sum(maps[1:], maps[0])).cpu().numpy()
    return saliency


def _build_explainer(model: nn.Module, image_size: int):
    """captum's Grad-CAM on a copy: modes, hooks, gradients and flags of the model stay as they are.

    Its map is the last output of a part that is (1, C, h, h), h above 1 if there is one, on an empty film.
    """
    from captum.attr import LayerGradCam

    model, found = copy.deepcopy(model).eval().requires_grad_(False), []
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
    last = next((part for part, extent in reversed(maps) if extent > 1), maps[-1][0])
    return LayerGradCam(model, last)


def _explain(explainer, inputs: torch.Tensor, size) -> torch.Tensor:
    """Maps (B, H, W), each scaled to a maximum of 1."""
    maps = explainer.attribute(inputs, relu_attributions=True).detach()
    return _scale(F.interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0])


def _scale(maps: torch.Tensor) -> torch.Tensor:
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)


def compute_lung_share(saliency: np.ndarray) -> np.ndarray:
    """How much of each map, float (N, S, S), lies inside the rough lung field: float64 (N,), 0 to 1.

    NaN where a map is zero throughout. Only above `compute_even_share` does a map favour the lungs; medians
    of untrained networks lay between 0.2 and 0.53, so a little more proves nothing.
    """
    inside = saliency[:, make_lung_mask(saliency.shape[-1])].sum(1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return inside / saliency.sum((1, 2), dtype=np.float64)


def compute_even_share(image_size: int) -> float:
    """The lung share of a map that is the same everywhere, about 0.45."""
    return float(make_lung_mask(image_size).mean())


def compute_randomisation_check(
    model: nn.Module, images: np.ndarray, *, num_draws: int = NUM_COPIES, **settings
):
    """Sanity check: rank correlation between saliency maps and those of the same network with random weights.

    Near 0 is good: the map depends on what was learnt. Near 1 the map shows edges or brightness of the film,
    which an untrained network shows as well, and says nothing of the model. It is a test that a map can fail,
    not one that proves it right. With maps of 4 x 4 cells a film's own number is mostly chance: read the
    median of the films' means, and how far apart the medians of the networks lie. The settings are those of
    `compute_saliency`. A DataFrame comes back, a row a network, a column a film, NaN where there is no map.

    Source: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv 1810.03292.
    """
    import pandas as pd

    trained = compute_saliency(model, images, **settings)
    copies = (make_random_copy(model, seed=draw) for draw in range(num_draws))
    untrained = (compute_saliency(copied, images, **settings) for copied in copies)
    correlations = [[_correlate(*pair) for pair in zip(trained, maps, strict=True)] for maps in untrained]
    return pd.DataFrame(correlations, columns=range(len(trained)), dtype=np.float64)


def make_random_copy(model: nn.Module, *, seed: int) -> nn.Module:
    """A copy of the model with all weights drawn anew, or shuffled where no layer draws them.

    Batch norm forgets its statistics, and the caller's random numbers go on as if nothing had.
    """
    device = next(model.parameters()).device
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: a draw is the same on every device
        drawn = copy.deepcopy(model).cpu()
        for part in drawn.modules():
            if (reset := getattr(part, "reset_parameters", None)) is not None:
                reset()
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


def compute_coverage(predict: Predict, dataset: XrayDataset) -> dict:
    """The AUROC on films as they are and with lungs, or all but the lungs, covered in two ways.

    A model that reads the lungs keeps most of its AUROC with the rest covered and falls towards 0.5 with the
    lungs covered; what stays above is a shortcut, or lung that the rough field leaves out. Some loss is owed
    to the strangeness of films covered with grey; what is "swapped" comes from a film of the other class, so
    that a model that reads lungs alone ranks films with swapped lungs the wrong way round. They are whole,
    lungs_covered, rest_covered, lungs_swapped and rest_swapped: 0 to 1, None without both classes; and
    intervals of these, by patient.
    """
    lungs = make_lung_mask(dataset.image_size)
    grey, others = np.uint8(COVER_GREY), dataset.images[_draw_others(dataset.labels)]
    covers = {"whole": (np.zeros_like(lungs), grey)}
    for name, cover in (("covered", grey), ("swapped", others)):
        covers |= {f"lungs_{name}": (lungs, cover), f"rest_{name}": (~lungs, cover)}
    coverage, intervals = {}, {}
    for name, (mask, cover) in covers.items():
        probs = predict(replace(dataset, images=np.where(mask, cover, dataset.images)))
        predictions = Predictions(dataset.labels, probs, dataset.patients, dataset.names)
        judged = judge_predictions(predictions, threshold=0.5)
        coverage[name], intervals[name] = judged["auroc"], judged["intervals"]["auroc"]
    return coverage | {"intervals": intervals}


def _draw_others(labels: np.ndarray) -> np.ndarray:
    """For each film, of labels int (N,), the place of one of the other class; its own where there is none."""
    rng, places = np.random.default_rng(0), np.arange(len(labels))
    for label in (0, 1):
        others = np.flatnonzero(labels != label)
        if len(others):
            places[labels == label] = rng.choice(others, np.sum(labels == label))
    return places
