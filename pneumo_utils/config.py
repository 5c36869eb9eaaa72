"""Settings: the training configuration, the short mode and the folders that results go to."""

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from pneumo_utils.errors import UsageError

CLASS_NAMES = ("NORMAL", "PNEUMONIA")  # index 1 is always pneumonia; `prob` always means P(pneumonia)
SPLITS = ("train", "val", "test")

DEFAULT_MODEL = "cnn_distilled"  # answers when none is named: the best small one by `tools.candidates`
CLASS_COLOURS = ("#0072B2", "#D55E00")  # blue and vermilion of Okabe and Ito's colour-blind safe palette
COLOUR_MAP = "viridis"  # of saliency maps: perceptually uniform, also to colour-blind readers
MAX_BYTES = 100_000_000  # the largest file that is read as an image
REFER_ALPHA = 0.05  # the error rate, in each class, that the refer band of a checkpoint is made for

STRATEGIES = ("full", "two_stage", "frozen")
BALANCES = ("none", "weights", "sampling")
PRESETS = ("grey", "percentile")  # grey levels as they are in the file, or as `data.grey_scale` maps them
PRESET = "percentile"  # with which films are read unless a checkpoint says otherwise


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes to a training film; a range of 0 switches one off.

    A log-uniform factor is drawn from exp(-range) to exp(range).
    """

    rotate_deg: float = 12.0  # largest rotation to either side, degrees
    zoom: float = 0.2  # log-uniform factor
    # Log-uniform factor on width over height. The aspect of films of this data set gives their label away, so
    # this matters more than the rest.
    stretch: float = 0.4
    shift: float = 0.1  # largest shift to either side, as a fraction of the width or height
    flip_prob: float = 0.5  # probability of a left-right flip, 0 to 1
    brightness: float = 0.1  # largest value added to or taken from grey levels in 0 to 1
    contrast: float = 0.4  # log-uniform factor on the contrast about the film's mean
    gamma: float = 0.4  # log-uniform exponent on grey levels
    blur_prob: float = 0.2  # probability of a blur, 0 to 1, as those below
    noise: float = 0.03  # largest standard deviation of the added Gaussian noise, grey levels in 0 to 1
    erase_prob: float = 0.3  # of a rectangle that is blanked out
    corner_prob: float = 0.2  # of a corner that is blanked out, where letters are burned in
    border_prob: float = 0.2  # of a frame of one grey level, as of a shutter, up to a tenth of a side wide
    equalise_prob: float = 0.0  # of an equalised histogram of grey levels
    outside_prob: float = 0.0  # that all outside a rough lung field is of another film, before all else


# The mean over the three colour channels of the statistics that ImageNet models were trained with
# (torchvision's presets: mean .485 .456 .406, standard deviation .229 .224 .225).
GREY_MEAN, GREY_STD = 0.449, 0.226


@dataclass(frozen=True)
class EvalTransform:
    """The fixed way from a film to the network's input; all who answer use the checkpoint's own."""

    image_size: int  # height and width of the input, pixels
    name: str = "grey"  # of `PRESETS`: how the films are read
    mean: float = GREY_MEAN  # subtracted from grey levels in 0 to 1
    std: float = GREY_STD  # divides them afterwards, above 0

    @property
    def reading(self) -> dict:
        """How its films are read: what `load_split`, `load_film` and `load_image` take by name."""
        return {"image_size": self.image_size, "preset": self.name}

    def __call__(self, images):
        """A tensor, uint8 (B, H, W), to float32 (B, 1, S, S), about -2 to 2.4; S is `image_size`."""
        return self.normalise(self.to_grey_levels(images))

    def to_grey_levels(self, images):
        """A tensor, uint8 (B, H, W), to float32 (B, 1, S, S) in 0 to 1, resized where the size differs."""
        return self.resize(images.unsqueeze(1).float().div_(255))

    def resize(self, levels):
        """Grey levels, a tensor (B, 1, H, W), at this size: (B, 1, S, S)."""
        size = (self.image_size, self.image_size)
        if levels.shape[-2:] != size:
            import torch.nn.functional as F

            levels = F.interpolate(levels, size, mode="bilinear", antialias=True, align_corners=False)
        return levels

    def normalise(self, levels):
        """Grey levels in 0 to 1, a tensor or an array of any shape, to the network's range."""
        return (levels - self.mean) / self.std


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides how a model is trained; stored in its checkpoint."""

    model: str  # a name known to `pneumo_utils.models.registry`
    image_size: int = 64  # height and width of the model's input, pixels, 32 to 512
    num_epochs: int = 10  # at most, 1 or more; early stopping may end sooner
    batch_size: int = 32  # films in one step, 2 or more (batch normalisation needs two)
    lr: float = 1e-3  # peak learning rate, above 0
    # From ImageNet weights, the rate of the lowest block over the head's, above 0 to 1; the rates of the
    # blocks between lie on a geometric line. From random weights all rates are the same.
    backbone_lr_factor: float = 1.0
    weight_decay: float = 0.05  # AdamW's decoupled weight decay, 0 or more
    dropout: float = 0.3  # share of the pooled features blanked in training, 0 to below 1
    # Films are blended in pairs, and their labels with them, by a share drawn from Beta(mixup, mixup); 0
    # blends none. Zhang et al., ICLR 2018, arXiv 1710.09412.
    mixup: float = 0.0
    label_smoothing: float = 0.05  # share of the label given to the other class, 0 to below 0.5
    ema_decay: float = 0.99  # decay per step of the averaged weights, 0 (no averaging) to below 1
    patience: int = 6  # epochs without a better AUROC on stressed validation films before training stops
    pretrained: bool = True  # start from ImageNet weights where the model has some and they can be had
    # "full", "two_stage" (the head first, then the backbone's blocks one by one from the top) or "frozen"
    # (the head alone).
    strategy: str = "full"
    head_epochs: int = 1  # of `two_stage`, in which only the head learns
    unfreeze_epochs: int = 2  # of `two_stage`, after those of the head, over which the blocks join in
    balance: str = "none"  # of the classes: by "weights" in the loss, "sampling" (as many of each), or "none"
    # How much a teacher's probability counts beside the label, 0 to 1, in a training that has a teacher.
    teacher_share: float = 0.8
    seed: int = 0  # of the weights, the order of films and the augmentation
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self):
        expect(32 <= self.image_size <= 512, "image_size", self.image_size, "32 to 512 pixels")
        expect(self.num_epochs >= 1, "epochs", self.num_epochs, "1 or more")
        expect(self.batch_size >= 2, "batch_size", self.batch_size, "2 or more")
        expect(0 < self.lr < float("inf"), "lr", self.lr, "a number above 0")
        factor = self.backbone_lr_factor
        expect(0 < factor <= 1, "backbone_lr_factor", factor, "above 0 to 1")
        expect(0 <= self.dropout < 1, "dropout", self.dropout, "0 to below 1")
        expect(0 <= self.mixup < float("inf"), "mixup", self.mixup, "0 or more")
        expect(0 <= self.label_smoothing < 0.5, "label_smoothing", self.label_smoothing, "0 to below 0.5")
        expect(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "0 to below 1")
        expect(0 <= self.teacher_share <= 1, "teacher_share", self.teacher_share, "0 to 1")
        expect(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")
        for name in ("patience", "head_epochs", "unfreeze_epochs"):
            expect(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name, known in (("strategy", STRATEGIES), ("balance", BALANCES)):
            expect(getattr(self, name) in known, name, getattr(self, name), " or ".join(known))

    @classmethod
    def from_dict(cls, values: dict) -> "TrainConfig":
        """The inverse of `asdict`; a UsageError where a key is unknown or a value is out of range."""
        values = {key: values[key] for key in values if key not in ("frozen_views", "schedule")}  # as now
        unknown = set(values) - {f.name for f in fields(cls)}
        unknown |= set(values.get("augmentation", {})) - {f.name for f in fields(Augmentation)}
        expect(not unknown, "training configuration", sorted(unknown), "only known settings")
        return cls(**values | {"augmentation": Augmentation(**values.get("augmentation", {}))})


def expect(ok: bool, name: str, got, expected: str) -> None:
    """Raises a UsageError, in the words of all settings, where a value that a user chose is not `ok`."""
    if not ok:
        raise UsageError(f"{name} is {got}; expected {expected}.")


def is_fast() -> bool:
    """Whether the short mode is on (`PNEUMO_FAST=1`): few films, small images, two epochs."""
    said = os.environ.get("PNEUMO_FAST", "").strip().lower()
    is_on = said in ("1", "true", "yes", "on")
    expect(is_on or said in ("", "0", "false", "no", "off"), "PNEUMO_FAST", repr(said), "1 or 0")
    return is_on


FAST_IMAGE_SIZE = 32
FAST_MAX_FILMS = 240


def shorten(config: TrainConfig) -> TrainConfig:
    """In short mode, the configuration cut down to seconds; otherwise as it is."""
    return replace(config, image_size=FAST_IMAGE_SIZE, num_epochs=2) if is_fast() else config


class Folders:
    """Where files are read and written, all below `root`. None is made until it is written to."""

    def __init__(self, root: Path):
        self.root = root
        self.data = root / "data"
        self.checkpoints = root / "checkpoints"
        self.plots = root / "plots"
        self.build = root / "build"
        self.results = self.build / "results.json"
        self.stored_ablation = root / "results" / "ablation.json"  # the table of runs in the repository

    def checkpoint(self, model: str) -> Path:
        """`checkpoints/best_model_<model>.pth`, the seed project's name."""
        return self.checkpoints / f"best_model_{model}.pth"

    def history(self, model: str) -> Path:
        """`build/history_<model>`, without the suffix of its two files."""
        return self.build / f"history_{model}"


def default_folders() -> Folders:
    """Below `PNEUMO_HOME`, else the nearest folder upwards that is the project's, else where we are."""
    if os.environ.get("PNEUMO_HOME"):
        return Folders(Path(os.environ["PNEUMO_HOME"]).expanduser())
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return Folders(folder)
    return Folders(here)
