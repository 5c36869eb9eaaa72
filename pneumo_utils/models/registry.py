"""Models by name."""

from collections.abc import Callable

from torch import nn

from pneumo_utils.errors import UsageError
from pneumo_utils.models.cnn import CnnBaseline
from pneumo_utils.models.resnet import ResnetFinetune

MODELS: dict[str, Callable[[], nn.Module]] = {
    "cnn_baseline": CnnBaseline,
    "resnet_finetune": ResnetFinetune,
}


def build_model(name: str) -> nn.Module:
    """A model with random weights; it maps normalised films (B, 1, H, W) to logits (B,).

    Args:
        name: A key of `MODELS`.

    Raises:
        UsageError: The name is unknown.
    """
    if name not in MODELS:
        raise UsageError(f"The model is {name!r}; expected one of {', '.join(MODELS)}.")
    return MODELS[name]()


def count_parameters(model: nn.Module) -> int:
    """How many numbers the model learns, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())
