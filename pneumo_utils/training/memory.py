"""What happens when memory runs out in training: it is freed, and a sentence says what to lower."""

import functools
import gc
from collections.abc import Callable

import torch

from pneumo_utils.config import TrainConfig
from pneumo_utils.errors import PneumoError

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def name_what_to_lower(train: Callable) -> Callable:
    """Wraps a function `train(config, ...)`: where memory runs out it raises a PneumoError, and frees it."""

    @functools.wraps(train)
    def train_in_memory(config: TrainConfig, *arguments, **settings):
        try:
            return train(config, *arguments, **settings)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here are the error and the frames it refers to gone, and with them the tensors they held.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise PneumoError(
            f"Memory ran out at batch_size {config.batch_size} and image_size {config.image_size}. "
            "Lower --batch_size or --image_size; half of either is a good next try."
        )

    return train_in_memory


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, torch, CUDA or its libraries says that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error).lower() for words in _WORDS)
