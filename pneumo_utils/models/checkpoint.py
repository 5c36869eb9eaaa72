"""Checkpoints: weights and plain values in one file, never half-written, never a pickle run."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from pneumo_utils.config import CLASS_NAMES, TrainConfig
from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import PneumoError, UsageError, first_line
from pneumo_utils.models.registry import MODELS, build_model
from pneumo_utils.models.tensors import load_tensors

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with all that is needed to use it as it was validated.

    Attributes:
        config: How it was trained.
        transform: The way from a film to the input.
        state: The weights, by name, on the CPU.
        threshold: Call it pneumonia when prob >= threshold, 0 to 1; chosen on validation.
        temperature: Divides the logit before the sigmoid, above 0; chosen on validation.
        pretrained: Whether training started from ImageNet weights.
        source: The data set it was trained on.
        data_fingerprint: Of the training films.
        val_metrics: Figures on validation, by name.
        versions: Of the libraries.
        class_names: What 0 and 1 mean.
    """

    config: TrainConfig
    transform: EvalTransform
    state: dict[str, torch.Tensor]
    threshold: float
    temperature: float = 1.0
    pretrained: bool = False
    source: str = "unknown"
    data_fingerprint: str = ""
    val_metrics: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    class_names: tuple[str, ...] = CLASS_NAMES

    @property
    def model_name(self) -> str:
        return self.config.model

    def build_model(self) -> nn.Module:
        """The model with its weights, ready to predict."""
        model = build_model(self.model_name)
        model.load_state_dict(self.state)
        return model.eval()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> Path:
    """Writes to a temporary name, flushes, renames: a file under `path` is always whole.

    Raises:
        PneumoError: The file cannot be written, for example on a full disk; nothing is left behind.
    """
    values = {
        name: getattr(checkpoint, name) for name in ("threshold", "temperature", "pretrained", "source")
    }
    values |= {name: getattr(checkpoint, name) for name in ("data_fingerprint", "val_metrics", "versions")}
    values |= {"config": checkpoint.config.to_dict(), "transform": asdict(checkpoint.transform)}
    values |= {"class_names": list(checkpoint.class_names), "format": FORMAT_VERSION}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save({"state": checkpoint.state, "values": values}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        raise PneumoError(
            f"The checkpoint {path.name} could not be written ({first_line(error)}). Free some "
            "disk space, or name another folder with --output-dir."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_checkpoint(
    path: Path, *, model_name: str | None = None, image_size: int | None = None
) -> Checkpoint:
    """Reads and checks a checkpoint.

    Args:
        path: A file that `save_checkpoint` wrote.
        model_name: The model it should hold; None takes any.
        image_size: The input size it should have, pixels; None takes any.

    Returns:
        The checkpoint; its weights fit the model and are finite.

    Raises:
        PneumoError: The file is absent, damaged, of another format, of another model or image size.
    """
    if model_name is not None and model_name not in MODELS:
        raise UsageError(f"The model is {model_name!r}; expected one of {', '.join(MODELS)}.")
    if not Path(path).is_file():
        raise PneumoError(
            f"{Path(path).name} is not there; expected a checkpoint in {Path(path).parent.name}/. Run the "
            "lesson that trains it (02 or 03), or `pneumo train`."
        )
    checkpoint = _parse(Path(path))
    _require_match(path, "model", checkpoint.model_name, model_name, "--model")
    _require_match(path, "image size", checkpoint.config.image_size, image_size, "--image-size")
    return checkpoint


def _parse(path: Path) -> Checkpoint:
    try:
        content = load_tensors(path)
        values = dict(content["values"])
        if values.pop("format") != FORMAT_VERSION:
            raise ValueError("it has another format version")
        values["config"] = TrainConfig.from_dict(values["config"])
        values["transform"] = EvalTransform(**values["transform"])
        values["class_names"] = tuple(values["class_names"])
        checkpoint = Checkpoint(state=content["state"], **values)
        _require_valid(checkpoint)
        return checkpoint
    except Exception as error:  # a foreign or torn file can fail in any way; the message names it
        raise PneumoError(
            f"{path} cannot be read as a checkpoint ({first_line(error)}). Expected a file written by "
            "`pneumo train`. Train again, or name another file."
        ) from error


def _require_valid(checkpoint: Checkpoint) -> None:
    model = build_model(checkpoint.model_name)
    model.load_state_dict(checkpoint.state)
    if not all(torch.isfinite(value).all() for value in checkpoint.state.values()):
        raise ValueError("it holds weights that are not finite")
    if not 0 <= checkpoint.threshold <= 1 or not checkpoint.temperature > 0:
        raise ValueError("its threshold or temperature is out of range")
    if checkpoint.class_names != CLASS_NAMES:
        raise ValueError(f"its classes are {', '.join(checkpoint.class_names)}")


def _require_match(path, what, got, expected, flag) -> None:
    if expected is not None and got != expected:
        raise PneumoError(
            f"{path} holds {what} {got}; expected {expected}. Name the checkpoint that fits, or {flag} {got}."
        )
