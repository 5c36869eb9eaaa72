"""Trains the guard's network and chooses its limits."""

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from pneumo_utils.data.augmentation import augment_films
from pneumo_utils.inference.film_kind_net import FilmKindNet, normalise_levels, predict_chest
from pneumo_utils.inference.guard_batches import CHANGES, GuardBatches

LET_THROUGH, ACCEPTED = 0.998, 0.99
"""Shares of the changed validation films that are to pass the two limits."""


def train_film_kinds(
    batches: GuardBatches, *, num_steps: int, lr: float = 3e-3, say: Callable[[str], None] = lambda text: None
) -> FilmKindNet:
    """Trains the network and rounds it to half precision.

    Args:
        batches: What it learns from.
        num_steps: Batches, 1 or more.
        lr: Peak learning rate of a one-cycle schedule.
        say: Takes a line every 100 steps.

    Returns:
        The network, in evaluation mode.
    """
    torch.manual_seed(0)
    net, started = FilmKindNet().train(), time.perf_counter()
    optimizer = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=num_steps + 1, pct_start=0.15)
    for step in range(1, num_steps + 1):
        levels, kinds = batches.draw()
        logits = net(normalise_levels(levels))
        loss = F.cross_entropy(logits, kinds, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            right = (logits.argmax(1) == kinds).float().mean()
            say(f"step {step}: loss {loss:.3f}, right {right:.0%}, {time.perf_counter() - started:.0f} s")
    net.load_state_dict(
        {k: v.half().float() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    )
    return net.eval()


def choose_limits(net: FilmKindNet, films: np.ndarray, *, seed: int = 1) -> tuple[float, float]:
    """Sets the two limits so that they let the asked shares of the films through.

    Args:
        net: Trained.
        films: uint8 (N, 128, 128), validation films; each counts once as it is and once changed, so that
            the limits hold for hospitals with other habits too.
        seed: Of the changes.

    Returns:
        Below which P(chest) a picture is rejected, and below which it is warned of.
    """
    levels = torch.from_numpy(films).float().div_(255)[:, None]
    changed = augment_films(levels, CHANGES, generator=torch.Generator().manual_seed(seed))
    parts = torch.cat([levels, changed]).split(256)
    probs = torch.cat([predict_chest(net, F.avg_pool2d(part, 2)) for part in parts]).numpy()
    return tuple(float(np.quantile(probs, 1 - share)) for share in (LET_THROUGH, ACCEPTED))
