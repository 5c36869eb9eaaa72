"""Training in several processes, one a device: who takes which films, and how the parts come together."""

import numpy as np
import torch
from torch import nn


class Processes:
    """The processes that train one model together; most often there is only one.

    Each draws the same batches and the same augmentation, takes every n-th film of a batch, and judges every
    n-th film of validation, so that a figure is one over all films, each counted once. Batch normalisation
    sees the films of its own process alone. A run is started by `accelerate launch` or `torchrun`.

    Args:
        accelerator: An `accelerate.Accelerator`.
    """

    def __init__(self, accelerator):
        self.accelerator = accelerator
        self.rank, self.number = accelerator.process_index, accelerator.num_processes

    def take_share(self, values):
        """The films of this process: an array or tensor (N, ...), its first axis thinned out."""
        return values[self.rank :: self.number]

    def compute_mean(self, loss: torch.Tensor) -> float:
        """The mean over all processes."""
        if self.number == 1:
            return loss.item()
        return self.accelerator.reduce(loss.detach(), "mean").item()

    def align_buffers(self, model: nn.Module) -> None:
        """Gives all processes the buffers of the first: normalisation statistics are each one's own."""
        if self.number > 1:
            for buffer in model.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def join(self, share: np.ndarray) -> np.ndarray:
        """The values of all films, float64 (N,), in their order, from each process's share of them."""
        if self.number == 1:
            return share
        shares = [None] * self.number
        torch.distributed.all_gather_object(shares, share)
        joined = np.empty(sum(map(len, shares)))
        for rank, part in enumerate(shares):
            joined[rank :: self.number] = part
        return joined
