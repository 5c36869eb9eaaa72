"""Training recipes as data: one frozen configuration each, chosen by name."""

from dataclasses import replace

from pneumo_utils.config import TrainConfig
from pneumo_utils.errors import UsageError
from pneumo_utils.models.backbone import TIMM_PREFIX

RECIPES: dict[str, TrainConfig] = {
    "cnn_baseline": TrainConfig(model="cnn_baseline", image_size=128, num_epochs=14, lr=3e-3),
    "resnet_finetune": TrainConfig(model="resnet_finetune", image_size=64, num_epochs=5, lr=1e-3),
    "efficientnet_lite0_finetune": TrainConfig(
        model="efficientnet_lite0_finetune", image_size=128, num_epochs=5, lr=5e-4, strategy="full"
    ),
}


def make_config(model: str, **changes) -> TrainConfig:
    """The recipe of a model, with other values for the fields in `changes`.

    `timm_NAME` takes the recipe of `efficientnet_lite0_finetune`. A UsageError names what is not known.
    """
    if model in RECIPES:
        return replace(RECIPES[model], **changes)
    if model.startswith(TIMM_PREFIX):
        return replace(RECIPES["efficientnet_lite0_finetune"], model=model, **changes)
    raise UsageError(f"The model is {model!r}; expected one of {', '.join(RECIPES)}, or {TIMM_PREFIX}NAME.")
