"""The optimizer with a rate for each part of a model, and the course of the rates over a run."""

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from pneumo_utils.config import TrainConfig


def list_blocks(model: nn.Module) -> list[nn.Module]:
    """The parts of a model below its head, from the film up; a network without a backbone is one part."""
    return model.blocks if hasattr(model, "blocks") else [model.features]


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.AdamW:
    """AdamW with one group of parameters a block and one for the head, the head last.

    In `two_stage` the rates fall geometrically from the head down to `backbone_lr_factor` of it at the
    lowest block: what was learnt from a million photographs changes least where it is most general.

    Args:
        config: How to train.
        model: From `build_model`.

    Source:
        Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018, arXiv 1801.06146: discriminative
        rates. Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101: AdamW.
    """
    blocks = list_blocks(model)
    factor = config.backbone_lr_factor if config.strategy == "two_stage" else 1.0
    groups = [
        {
            "params": list(block.parameters()),
            "lr": config.lr * factor ** ((len(blocks) - index) / len(blocks)),
        }
        for index, block in enumerate(blocks)
    ]
    groups.append({"params": list(model.head.parameters()), "lr": config.lr})
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def make_schedule(config: TrainConfig, optimizer: torch.optim.Optimizer, num_steps: int) -> LRScheduler:
    """One cosine from the top down, or one cycle up and down, over a run of `num_steps` steps.

    Source:
        Smith and Topin, Super-Convergence, 2017, arXiv 1708.07120: one cycle.
    """
    if config.schedule == "cosine":
        return CosineAnnealingLR(optimizer, num_steps)
    # A few steps more than will be taken: the last rate is then above zero, and a run of one step has
    # both legs of the cycle.
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, total_steps=num_steps + 3)
