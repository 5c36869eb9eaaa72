"""The evaluation transform, against plain arithmetic and Pillow."""

import numpy as np
import torch
from PIL import Image

from pneumo_utils.config import EvalTransform


def test_evaluation_scales_and_normalises():
    images = torch.tensor([[[0, 255], [51, 102]]], dtype=torch.uint8)
    got = EvalTransform(image_size=2, mean=0.5, std=0.25)(images)
    # (0 - .5) / .25, (1 - .5) / .25, (.2 - .5) / .25, (.4 - .5) / .25
    assert torch.allclose(got, torch.tensor([[[[-2.0, 2.0], [-1.2, -0.4]]]]))


def test_evaluation_resizes_as_pillow_does():
    film = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    got = EvalTransform(image_size=32).to_grey_levels(torch.from_numpy(film)[None])[0, 0].numpy() * 255
    expected = np.asarray(Image.fromarray(film).resize((32, 32), Image.Resampling.BILINEAR), dtype=float)
    assert np.abs(got - expected).max() <= 1.0  # Pillow rounds to whole levels
