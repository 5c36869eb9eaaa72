"""Grad-CAM of known networks, worked out by hand and by another way; the model stays as it was."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.saliency import (
    compute_even_share,
    compute_lung_share,
    compute_saliency,
    make_lung_mask,
)
from pneumo_utils.models.registry import Ensemble, build_model

NAMES = ("cnn_baseline", "resnet_finetune", "efficientnet_lite0_finetune", "timm_resnet10t")
GREY_LEVELS = EvalTransform(16, mean=0.0, std=1.0)
"""0 to 1, as they are."""


class OneConvolution(nn.Module):
    """Two feature maps, a times and b times the grey level cut off at zero; the logit is c . their means.

    Args:
        weights: (a, b).
        head: (c of the first map, c of the second).
        part: Rows and columns of the film that it looks at; the rest is blanked.
    """

    def __init__(self, weights=(1.0, -1.0), head=(1.0, 0.0), part=(slice(None), slice(None))):
        super().__init__()
        self.part = part
        self.features = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
        self.features[0].weight.data = torch.tensor(weights).view(2, 1, 1, 1)
        self.features[0].bias.data.zero_()
        self.head = nn.Linear(2, 1)
        self.head.weight.data = torch.tensor([head])

    def forward(self, images):
        seen = torch.zeros_like(images)
        seen[..., *self.part] = images[..., *self.part]
        return self.head(self.features(seen).mean((2, 3))).squeeze(1)


def make_films(num_films: int = 3, *, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_films, size, size), dtype=np.uint8)


def make_model(name: str, *, seed: int = 0) -> nn.Module:
    """Random weights, those of the head above 0: wherever the last map is not 0, it speaks for pneumonia."""
    torch.manual_seed(seed)
    model = build_model(name)
    model.head.weight.data.abs_()
    return model


def test_grad_cam_of_one_convolution_by_hand():
    # Grey levels g of 0.2, 0.4 and 0.8 in strips. The maps are 3 g and 1 g, the logit is the mean of
    # 2 * 3 g - 4 * g over 256 pixels: both gradients are even, 2 / 256 and -4 / 256, so that Grad-CAM is
    # 2 g / 256. Scaled to a maximum of 1: g / 0.8.
    film = np.zeros((1, 16, 16), np.uint8)
    film[0, :, :5], film[0, :, 5:9], film[0, :, 9:] = 51, 102, 204
    saliency = compute_saliency(OneConvolution((3.0, 1.0), (2.0, -4.0)), film, transform=GREY_LEVELS)
    assert saliency.dtype == np.float32 and saliency.shape == film.shape
    np.testing.assert_allclose(saliency, film / 204, atol=1e-6)


def test_what_speaks_against_pneumonia_is_left_out():
    # Now 2 * 3 g - 7 * g = -g: nothing speaks for pneumonia, and the map is zero, not a number divided by 0.
    films = make_films(2, size=16)
    saliency = compute_saliency(OneConvolution((3.0, 1.0), (2.0, -7.0)), films, transform=GREY_LEVELS)
    assert saliency.shape == (2, 16, 16) and not saliency.any()
    # With maps of g and of 0.5 - g cut off at zero and a logit of the mean of their difference, grey levels
    # of 0.2, 0.4 and 0.8 add -0.1, 0.3 and 0.8: the first is cut off as well.
    film = np.zeros((1, 16, 16), np.uint8)
    film[0, :, :5], film[0, :, 5:9], film[0, :, 9:] = 51, 102, 204
    model = OneConvolution((1.0, -1.0), (1.0, -1.0))
    model.features[0].bias.data[1] = 0.5
    saliency = compute_saliency(model, film, transform=GREY_LEVELS)[0]
    np.testing.assert_allclose(saliency[0, [0, 5, 15]], [0, 0.375, 1], atol=1e-6)


def test_the_other_label_shows_what_speaks_against_pneumonia():
    # As above the logit is the mean of -g: for label 0 that of g, so that the map is the film.
    films, model = make_films(2, size=16), OneConvolution((3.0, 1.0), (2.0, -7.0))
    saliency = compute_saliency(model, films, transform=GREY_LEVELS, label=0)
    np.testing.assert_allclose(saliency, films / films.max((1, 2), keepdims=True), atol=1e-6)
    with pytest.raises(UsageError, match="label is 2"):
        compute_saliency(model, films, transform=GREY_LEVELS, label=2)


def test_the_map_lies_where_the_network_looks():
    quadrant = (slice(8), slice(8, None))
    films = make_films(2, size=16)
    saliency = compute_saliency(OneConvolution(part=quadrant), films, transform=GREY_LEVELS)
    assert saliency[:, *quadrant].max((1, 2)).tolist() == [1, 1]
    saliency[:, *quadrant] = 0
    assert not saliency.any()


def test_the_film_is_resized_for_the_model_and_the_map_back():
    film = np.zeros((1, 64, 64), np.uint8)
    film[0, 48:, :16] = 255  # 4 x 4 of the 16 x 16 pixels that the model gets
    saliency = compute_saliency(OneConvolution(), film, transform=GREY_LEVELS)[0]
    assert saliency.shape == (64, 64) and saliency.max() == 1
    assert (saliency[56:, :8] > 0.9).all() and not saliency[:40].any() and not saliency[:, 24:].any()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_each_cell_of_the_last_map_adds_to_the_logit(name):
    # Zhou et al.'s class activation map: the head's weights on the last map before it is averaged, without
    # any gradient. The map is caught where each network hands it over to its mean.
    model, transform = make_model(name).eval(), EvalTransform(96)
    pools = {"cnn_baseline": "pool", "resnet_finetune": "backbone.avgpool"}
    pool = model.get_submodule(pools.get(name, "backbone.global_pool"))
    films, caught = make_films(), []
    hook = pool.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        logits = model(transform(torch.from_numpy(films)))
    hook.remove()
    parts = torch.einsum("bchw,oc->bhw", caught[0], model.head.weight.detach())
    assert parts.shape == (3, 3, 3)  # of 96 pixels, 32 a cell
    torch.testing.assert_close(parts.mean((1, 2)) + model.head.bias, logits)
    cells = F.relu(parts)
    assert (cells.amax((1, 2)) > 0).all()
    expected = F.interpolate(cells[:, None], (64, 64), mode="bilinear")[:, 0]
    expected /= expected.amax((1, 2), keepdim=True)
    saliency = compute_saliency(model, films, transform=transform)
    np.testing.assert_allclose(saliency, expected.numpy(), atol=1e-4)


def test_a_map_of_one_cell_is_even():
    saliency = compute_saliency(make_model("cnn_baseline"), make_films(), transform=EvalTransform(32))
    np.testing.assert_allclose(saliency, 1, atol=1e-6)


def read_state(model: nn.Module) -> dict:
    """All that must not change."""
    modules = list(model.modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modes": [module.training for module in modules],
        "hooks": [len(getattr(module, name)) for module in modules for name in hooks],
        "flags": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "identities": [id(value) for value in model.state_dict(keep_vars=True).values()],
        "values": [value.sum().item() for value in model.state_dict().values()],
    }


@pytest.mark.parametrize(("name", "is_frozen"), [("cnn_baseline", False), *((name, True) for name in NAMES)])
def test_the_model_stays_as_it_was_frozen_or_not(name, is_frozen):
    model, films = make_model(name), make_films()
    expected = compute_saliency(model.eval(), films, transform=EvalTransform(64))
    model.train().requires_grad_(not is_frozen)
    next(model.children()).eval()  # a mixture of modes, as in the first stage of a training
    before = read_state(model)
    saliency = compute_saliency(model, films, transform=EvalTransform(64))
    assert read_state(model) == before
    np.testing.assert_array_equal(saliency, expected)  # and batch norm was in evaluation mode all the same


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_switched_off_by_the_caller(switch):
    model, films = make_model("resnet_finetune"), make_films()
    expected = compute_saliency(model, films, transform=EvalTransform(64))
    with switch():
        made_here = copy.deepcopy(model)  # its weights cannot take part in any gradient
        assert torch.is_inference_mode_enabled() == (switch is torch.inference_mode)
        for one in (model, made_here):
            np.testing.assert_array_equal(compute_saliency(one, films, transform=EvalTransform(64)), expected)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled() and expected.any()


def test_an_ensemble_has_the_mean_of_its_members_scaled_maps():
    members = [make_model("cnn_baseline", seed=seed) for seed in range(3)]
    members[1].features[-1][1].weight.data *= 100  # larger maps, which must not drown the others
    films = make_films(size=96)
    maps = [compute_saliency(member, films, transform=EvalTransform(96)) for member in members]
    mean = np.mean(maps, 0)
    ensemble = Ensemble(members)
    before = read_state(ensemble)
    saliency = compute_saliency(ensemble, films, transform=EvalTransform(96))
    np.testing.assert_allclose(saliency, mean / mean.max((1, 2), keepdims=True), atol=1e-6)
    assert read_state(ensemble) == before
    assert not np.allclose(saliency, maps[1], atol=0.05)


def test_with_the_mirror_image_the_map_is_the_mean_of_both():
    left = OneConvolution(part=(slice(None), slice(8)))
    film = np.full((1, 16, 16), 100, np.uint8)
    film[0, :, 8:] = 200
    # As it is, the left half of 100 is seen: 1 at the left. Mirrored, the 200 are at the left and are seen:
    # 1 at the right once it is mirrored back. Each map is scaled, so the mean is even.
    assert (compute_saliency(left, film, transform=GREY_LEVELS, flip_average=True) == 1).all()
    assert not compute_saliency(left, film, transform=GREY_LEVELS)[0, :, 8:].any()


def test_the_batch_size_has_no_effect():
    films, model = make_films(5), make_model("cnn_baseline")
    expected = compute_saliency(model, films, transform=EvalTransform(64))
    for batch_size in (1, 2, 5):
        got = compute_saliency(model, films, transform=EvalTransform(64), batch_size=batch_size)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_no_film_gives_no_map():
    empty = compute_saliency(OneConvolution(), np.zeros((0, 20, 24), np.uint8), transform=GREY_LEVELS)
    assert empty.shape == (0, 20, 24) and compute_lung_share(empty, np.ones((20, 24), bool)).shape == (0,)


@pytest.mark.parametrize("films", [np.zeros((2, 16, 16), np.float32), np.zeros((16, 16), np.uint8)])
def test_other_films_are_refused(films):
    with pytest.raises(ValueError, match=r"expected uint8 \(N, H, W\)"):
        compute_saliency(OneConvolution(), films, transform=GREY_LEVELS)


class Bare(nn.Module):
    """A network that the registry does not know."""

    def __init__(self, **parts):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, images):
        features = self.features(images) if hasattr(self, "features") else images
        return self.weight * features.flatten(1).mean(1)


def test_the_last_map_is_the_last_one_with_an_extent():
    # After its pool the second 1 x 1 convolution has an output of 1 x 1: only the first tells a place.
    parts = nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1, bias=False)
    model = Bare(features=nn.Sequential(*parts), blocks=nn.ModuleList(parts))
    for part in parts[::2]:
        part.weight.data.fill_(2.0)
    film = np.zeros((1, 16, 16), np.uint8)
    film[0, 3, 5], film[0, 9, 9] = 200, 100
    saliency = compute_saliency(model, film, transform=GREY_LEVELS)
    np.testing.assert_allclose(saliency, film / 200, atol=1e-6)


@pytest.mark.parametrize("model", [Bare(), Bare(features=nn.Flatten())])
def test_a_network_without_maps_is_refused(model):
    with pytest.raises(UsageError, match="Bare"):
        compute_saliency(model, make_films(size=16), transform=GREY_LEVELS)


def test_the_lung_share_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[1, 1:3] = True  # 2 of 16 pixels
    maps = np.zeros((4, 4, 4), np.float32)
    maps[0] = 1  # even
    maps[1, 1, 1] = 0.5  # inside
    maps[2, 1, 2], maps[2, 3, 3] = 0.25, 0.75  # a quarter inside
    share = compute_lung_share(maps, mask)
    np.testing.assert_allclose(share, [2 / 16, 1, 0.25, np.nan])


def test_without_a_mask_it_is_the_rough_lung_field():
    maps = np.stack([np.ones((40, 40)), make_lung_mask(40), ~make_lung_mask(40)]).astype(np.float32)
    share = compute_lung_share(maps)
    np.testing.assert_allclose(share, [make_lung_mask(40).mean(), 1, 0])
    assert share[0] == compute_even_share(40) == pytest.approx(0.45, abs=0.01)


def test_the_limits_of_coarse_cells_are_those_that_the_docstring_names():
    mask = make_lung_mask(128)
    for cells, low, high in ((4, 0.12, 0.87), (2, mask.mean() - 0.02, mask.mean() + 0.02)):
        one_hot = torch.eye(cells**2).view(-1, 1, cells, cells)
        share = compute_lung_share(F.interpolate(one_hot, (128, 128), mode="bilinear")[:, 0].numpy())
        assert low - 0.005 < share.min() and share.max() < high + 0.005


@pytest.mark.parametrize("mask", [np.ones((5, 4), bool), np.ones((4, 4), np.uint8)])
def test_a_mask_of_another_size_or_kind_is_refused(mask):
    with pytest.raises(ValueError, match="mask is"):
        compute_lung_share(np.ones((1, 4, 4), np.float32), mask)
