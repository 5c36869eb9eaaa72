"""Training recipes as data: one frozen configuration each, chosen by name."""

from dataclasses import replace

from pneumo_utils.config import Augmentation, TrainConfig
from pneumo_utils.errors import UsageError
from pneumo_utils.models.backbone import TIMM_PREFIX

# Half of the films get their outside from another one: what lies there says nothing about pneumonia, and a
# network that could read it there would.
AUGMENTATION = Augmentation(outside_prob=0.5)
TEACHER = "efficientnet_lite0_finetune"  # of the models that are called distilled
_RECIPES = (
    TrainConfig(model="cnn_baseline", image_size=128, num_epochs=14, lr=3e-3),
    TrainConfig(model="cnn_distilled", image_size=128, num_epochs=30, lr=3e-3),
    TrainConfig(model="resnet_finetune", image_size=128, num_epochs=10, lr=1e-3, backbone_lr_factor=0.1),
    TrainConfig(model="resnet_distilled", image_size=128, num_epochs=16, lr=1e-3, pretrained=False),
    TrainConfig(model="efficientnet_lite0_finetune", image_size=192, num_epochs=6, lr=5e-4),
)
RECIPES = {config.model: replace(config, augmentation=AUGMENTATION) for config in _RECIPES}


def make_config(model: str, **changes) -> TrainConfig:
    """The recipe of a model, with other values for the fields in `changes`.

    `timm_NAME` takes the recipe of `efficientnet_lite0_finetune`. A UsageError names what is not known.
    """
    if model in RECIPES:
        return replace(RECIPES[model], **changes)
    if model.startswith(TIMM_PREFIX):
        return replace(RECIPES["efficientnet_lite0_finetune"], model=model, **changes)
    raise UsageError(f"The model is {model!r}; expected one of {', '.join(RECIPES)}, or {TIMM_PREFIX}NAME.")
