"""Stress validation: validation films as another hospital might have delivered them.

Plain validation films come from the same series as the training films, and a model that reads the stretch
or the tones of a series scores close to 1 on them. The epoch is therefore chosen on validation films that
were turned, stretched, cropped, re-toned, blurred and partly covered, and the threshold on these and the
plain ones together. The changes are drawn from fixed seeds and are the same for every recipe and image size:
figures of different runs can be compared.
"""

from dataclasses import replace

import numpy as np
import torch

from pneumo_utils.config import Augmentation
from pneumo_utils.data.augmentation import augment_films
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.film_array import make_films

STRESS = Augmentation(
    rotate_deg=15,
    zoom=0.2,
    stretch=0.4,
    shift=0.1,
    flip_prob=0.0,
    brightness=0.15,
    contrast=0.4,
    gamma=0.4,
    blur_prob=0.3,
    noise=0.05,
    erase_prob=0.3,
    corner_prob=0.3,
    border_prob=0.3,
    equalise_prob=0.1,
)
NUM_VIEWS = 3
BATCH_SIZE = 256


def make_stress_films(val: XrayDataset, *, num_views: int = NUM_VIEWS) -> XrayDataset:
    """Changed copies of validation films.

    Args:
        val: N validation films.
        num_views: V, copies of each film, 1 or more, each changed in another way.

    Returns:
        V * N films of split "val", view after view, each in the order of `val`.
    """
    shown = make_films(num_views * len(val), *val.images.shape[1:])
    for view in range(num_views):
        for start in range(0, len(val), BATCH_SIZE):
            # A generator for each batch: films of any size then get the same changes but for the grain.
            draws = torch.Generator().manual_seed(view * len(val) + start)
            levels = torch.from_numpy(val.images[start : start + BATCH_SIZE]).unsqueeze(1) / 255
            levels = augment_films(levels, STRESS, generator=draws)
            place = view * len(val) + start
            shown[place : place + len(levels)] = (levels[:, 0] * 255).round().to(torch.uint8).numpy()
    empty = replace(val, images=np.empty((len(val), 0, 0), np.uint8))
    return replace(empty.select(np.tile(np.arange(len(val)), num_views)), images=shown)
