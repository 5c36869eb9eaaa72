"""Training recipes as data: one frozen configuration each, chosen by name."""

from dataclasses import replace

from pneumo_utils.config import Augmentation, TrainConfig
from pneumo_utils.errors import UsageError
from pneumo_utils.models.efficientnet import TIMM_PREFIX

RECIPES: dict[str, TrainConfig] = {
    "cnn_baseline": TrainConfig(model="cnn_baseline", image_size=128, num_epochs=14, lr=3e-3),
    "resnet_finetune": TrainConfig(model="resnet_finetune", image_size=64, num_epochs=5, lr=1e-3),
    "efficientnet_lite0_finetune": TrainConfig(
        model="efficientnet_lite0_finetune", image_size=128, num_epochs=5, lr=5e-4, strategy="full"
    ),
}


def make_config(model: str, **changes) -> TrainConfig:
    """The recipe of a model, with some of its settings changed.

    Args:
        model: A key of `RECIPES`; `timm_NAME` takes the recipe of `efficientnet_lite0_finetune`.
        **changes: Fields of `TrainConfig`; None leaves a field as the recipe has it.

    Raises:
        UsageError: The model has no recipe, or a value is out of range.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    if model in RECIPES:
        return replace(RECIPES[model], **changes)
    if model.startswith(TIMM_PREFIX):
        return replace(RECIPES["efficientnet_lite0_finetune"], model=model, **changes)
    raise UsageError(f"The model is {model!r}; expected one of {', '.join(RECIPES)}, or {TIMM_PREFIX}NAME.")


_SMALL_CNN = replace(RECIPES["cnn_baseline"], image_size=64, num_epochs=8)
_SMALL_LITE0 = replace(RECIPES["efficientnet_lite0_finetune"], image_size=64, num_epochs=4)
_STILL = Augmentation(**dict.fromkeys(Augmentation.__dataclass_fields__, 0.0))


def _vary_augmentation(**changes) -> TrainConfig:
    return replace(_SMALL_CNN, augmentation=replace(_SMALL_CNN.augmentation, **changes))


ABLATION: dict[str, TrainConfig] = {
    "cnn_64": _SMALL_CNN,
    "cnn_64_no_augmentation": replace(_SMALL_CNN, augmentation=_STILL),
    "cnn_64_no_stretch": _vary_augmentation(stretch=0.0),
    "cnn_64_no_rotation_zoom_shift": _vary_augmentation(rotate_deg=0.0, zoom=0.0, shift=0.0),
    "cnn_64_no_tones": _vary_augmentation(brightness=0.0, contrast=0.0, gamma=0.0),
    "cnn_64_no_blur_noise": _vary_augmentation(blur_prob=0.0, noise=0.0),
    "cnn_64_no_erasing": _vary_augmentation(erase_prob=0.0, corner_prob=0.0, border_prob=0.0),
    "cnn_64_equalise": _vary_augmentation(equalise_prob=0.3),
    "cnn_64_mixup": replace(_SMALL_CNN, mixup=0.3),
    "cnn_64_no_dropout": replace(_SMALL_CNN, dropout=0.0),
    "cnn_64_no_label_smoothing": replace(_SMALL_CNN, label_smoothing=0.0),
    "cnn_64_no_weight_decay": replace(_SMALL_CNN, weight_decay=0.0),
    "cnn_64_no_averaging": replace(_SMALL_CNN, ema_decay=0.0),
    "cnn_64_balanced_sampling": replace(_SMALL_CNN, balance="sampling"),
    "cnn_64_no_balance": replace(_SMALL_CNN, balance="none"),
    "lite0_64_frozen": replace(_SMALL_LITE0, strategy="frozen"),
    "lite0_64_two_stage": replace(_SMALL_LITE0, strategy="two_stage"),
    "lite0_64_full": _SMALL_LITE0,
    "lite0_64_random_frozen": replace(_SMALL_LITE0, strategy="frozen", pretrained=False),
    "lite0_64_random_two_stage": replace(_SMALL_LITE0, strategy="two_stage", pretrained=False),
    "lite0_64_random_full": replace(_SMALL_LITE0, pretrained=False),
}
"""Rows of the ablation: each differs from `cnn_64` or `lite0_64_full` in what its name says. They are small,
so that a table of three seeds is a matter of two hours on two cores."""
