"""Grad-CAM: which parts of a film speak for pneumonia to a model, and whether they lie in the lungs."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pneumo_utils.data.lung_field import make_lung_mask
from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import UsageError
from pneumo_utils.models.ensemble import Ensemble
from pneumo_utils.training.optimizer import list_blocks


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
