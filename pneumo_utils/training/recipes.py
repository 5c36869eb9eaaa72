"""Training recipes as data: one configuration a model, chosen by name."""

from dataclasses import replace

from pneumo_utils.config import TrainConfig
from pneumo_utils.errors import UsageError

RECIPES: dict[str, TrainConfig] = {
    "cnn_baseline": TrainConfig(model="cnn_baseline", image_size=96, num_epochs=14, lr=3e-3),
    "resnet_finetune": TrainConfig(model="resnet_finetune", image_size=64, num_epochs=5, lr=1e-3),
}


def make_config(model: str, **changes) -> TrainConfig:
    """The recipe of a model, with some of its settings changed.

    Args:
        model: A key of `RECIPES`.
        **changes: Fields of `TrainConfig`; None leaves a field as the recipe has it.

    Raises:
        UsageError: The model has no recipe, or a value is out of range.
    """
    if model not in RECIPES:
        raise UsageError(f"The model is {model!r}; expected one of {', '.join(RECIPES)}.")
    return replace(RECIPES[model], **{name: value for name, value in changes.items() if value is not None})
