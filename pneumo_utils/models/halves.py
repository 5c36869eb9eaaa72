"""Weights in half precision: how models that ship are kept on disk, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:
    import torch


def save_halves(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Writes weights by name; whole numbers stay as they are.

    Args:
        state: On the CPU.
        path: A `.safetensors` file, in a folder that is there.
    """
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file({name: value.contiguous().numpy() for name, value in halves.items()}, path)


def load_halves(path: Path) -> dict[str, np.ndarray]:
    """The inverse of `save_halves`, in float32.

    Raises:
        ValueError: A weight is not finite; half precision ends at 65504.
        Exception: The file is absent or damaged, in safetensors' own words.
    """
    arrays = {
        name: value.astype(np.float32) if value.dtype.kind == "f" else value
        for name, value in load_file(path).items()
    }
    if not all(np.isfinite(value).all() for value in arrays.values()):
        raise ValueError("it holds weights that are not finite")
    return arrays
