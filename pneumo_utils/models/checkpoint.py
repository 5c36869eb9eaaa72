"""Checkpoints: weights and plain values in one file, never half-written, never a pickle run.

Nothing here imports torch before its weights are asked for: a model that ships answers without it.
"""

from __future__ import annotations

import glob
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from pneumo_utils.config import CLASS_NAMES, TrainConfig
from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import PneumoError, first_line


def save_tensors(content, path: Path, *, kind: str) -> Path:
    """Writes to a temporary name, flushes, renames: a file under `path` is always whole.

    Args:
        content: Tensors and plain values in dicts and lists.
        path: Its folder is made if absent.
        kind: What the file is, for a message.

    Raises:
        PneumoError: The file cannot be written, for example on a full disk; nothing is left behind.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        raise PneumoError(
            f"The {kind} {path.name} could not be written ({first_line(error)}). Free some "
            "disk space, or name another folder with --output-dir."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def remove_leftovers(path: Path) -> None:
    """Removes what a process that was killed in `save_tensors` left, for `path` and names that extend it."""
    for temporary in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        temporary.unlink(missing_ok=True)


def load_tensors(path: Path):
    """What `torch.save` wrote, if it is tensors and plain values in dicts and lists; on the CPU.

    Args:
        path: A file, perhaps from elsewhere.

    Raises:
        OSError: The file cannot be opened.
        ValueError: The file is damaged, or holds something else, which could run code.
    """
    try:
        _require_no_bomb(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # pickle, zip and torch have many words for it, none for a user
        raise ValueError("it is not a file of tensors and plain values") from error


def require_intact(path: Path) -> None:
    """Nothing, if the checksums in a file of `save_tensors` are right; torch does not look at them.

    Args:
        path: A file that `load_tensors` has read.

    Raises:
        ValueError: A part of it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise ValueError("its checksums are wrong")


def _require_no_bomb(path: Path) -> None:
    """Raises ValueError for an archive that would unpack to more than it is; `torch.save` packs nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > Path(path).stat().st_size:
                raise ValueError("its parts are larger than the whole")


ENSEMBLE_SUFFIX = "_ensemble"
FORMAT_VERSION = 2
MAX_MEMBERS = 100
_PLAIN = ("threshold", "screening_threshold", "temperature", "refer_limits", "flip_average")
_PLAIN += ("num_members", "pretrained", "source", "data_fingerprint", "val_metrics", "versions")


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with all that is needed to use it as it was validated.

    Attributes:
        config: How it was trained.
        transform: The way from a film to the input.
        state: The weights, by name, on the CPU.
        threshold: Call it pneumonia when prob >= threshold, 0 to 1; chosen on validation for balance.
        screening_threshold: The same, chosen on validation to miss few pneumonias; None if never chosen.
        temperature: Divides the logit before the sigmoid, above 0; chosen on validation.
        refer_limits: Of the refer band (`training.refer_band`), for an error rate of `REFER_ALPHA` in each
            class; None if never fitted.
        flip_average: Whether a film's logit is the mean over it and its mirror image.
        num_members: Networks whose logits are averaged, 1 or more; above 1 it is an ensemble of seeds.
        pretrained: Whether training started from ImageNet weights.
        source: The data set it was trained on.
        data_fingerprint: Of the training films.
        val_metrics: Figures on validation, by name.
        versions: Of the libraries.
        class_names: What 0 and 1 mean.
    """

    config: TrainConfig
    transform: EvalTransform
    state: Mapping[str, torch.Tensor]
    threshold: float
    screening_threshold: float | None = None
    temperature: float = 1.0
    refer_limits: tuple[float, float] | None = None
    flip_average: bool = False
    num_members: int = 1
    pretrained: bool = False
    source: str = "unknown"
    data_fingerprint: str = ""
    val_metrics: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    class_names: tuple[str, ...] = CLASS_NAMES

    @property
    def model_name(self) -> str:
        """The recipe's model; an ensemble of its seeds is called `<model>_ensemble`."""
        return self.config.model + (ENSEMBLE_SUFFIX if self.num_members > 1 else "")

    def build_model(self) -> torch.nn.Module:
        """The model with its weights, ready to predict."""
        from pneumo_utils.models.registry import Ensemble, build_model

        members = [build_model(self.config.model) for _ in range(self.num_members)]
        model = members[0] if self.num_members == 1 else Ensemble(members)
        model.load_state_dict(self.state)
        return model.eval()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> Path:
    """Writes the file as a whole or not at all.

    Raises:
        PneumoError: The file cannot be written, for example on a full disk; nothing is left behind.
    """

    content = {"state": dict(checkpoint.state), "values": to_values(checkpoint)}
    return save_tensors(content, path, kind="checkpoint")


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
    from pneumo_utils.models.registry import require_model

    if model_name is not None:
        require_model(model_name.removesuffix(ENSEMBLE_SUFFIX))
    if not Path(path).is_file():
        raise PneumoError(
            f"{Path(path).name} is not there; expected a checkpoint in {Path(path).parent.name}/. Run the "
            "lesson that trains it (02 or 03), or `pneumo train`."
        )
    checkpoint = _parse(Path(path))
    require_match(path, "model", checkpoint.model_name, model_name, "--model")
    require_match(path, "image size", checkpoint.config.image_size, image_size, "--image-size")
    return checkpoint


def to_values(checkpoint: Checkpoint) -> dict:
    """Everything but the weights, as plain values."""
    values = {name: getattr(checkpoint, name) for name in _PLAIN}
    values |= {"config": checkpoint.config.to_dict(), "transform": asdict(checkpoint.transform)}
    return values | {"class_names": list(checkpoint.class_names), "format": FORMAT_VERSION}


def from_values(values: dict, state: Mapping[str, torch.Tensor]) -> Checkpoint:
    """The inverse of `to_values`, checked; the weights are not looked at.

    Raises:
        ValueError: The values are of another format, or out of range.
    """
    values = dict(values)
    if values.pop("format") != FORMAT_VERSION:
        raise ValueError("it has another format version")
    values["config"] = TrainConfig.from_dict(values["config"])
    values["transform"] = EvalTransform(**values["transform"])
    for name in ("class_names", "refer_limits"):  # JSON has lists only
        values[name] = values.get(name) and tuple(values[name])
    checkpoint = Checkpoint(state=state, **values)
    _require_valid_values(checkpoint)
    return checkpoint


def _parse(path: Path) -> Checkpoint:

    try:
        content = load_tensors(path)
        checkpoint = from_values(content["values"], content["state"])
        require_valid_weights(checkpoint)
        return checkpoint
    except Exception as error:  # a foreign or torn file can fail in any way; the message names it
        raise PneumoError(
            f"{path} cannot be read as a checkpoint ({first_line(error)}). Expected a file written by "
            "`pneumo train`. Train again, or name another file."
        ) from error


def _require_valid_values(checkpoint: Checkpoint) -> None:
    if type(checkpoint.num_members) is not int or not 1 <= checkpoint.num_members <= MAX_MEMBERS:
        raise ValueError(f"its number of members is not 1 to {MAX_MEMBERS}")
    thresholds = (checkpoint.threshold, checkpoint.screening_threshold or 0.0)
    thresholds += checkpoint.refer_limits or ()
    is_hot = 0 < checkpoint.temperature < float("inf")
    if not is_hot or not all(0 <= threshold <= 1 for threshold in thresholds):
        raise ValueError("a threshold, a limit or the temperature is out of range")
    if checkpoint.class_names != CLASS_NAMES:
        raise ValueError(f"its classes are {', '.join(checkpoint.class_names)}")


def require_valid_weights(checkpoint: Checkpoint) -> None:
    """Nothing, if the weights are finite numbers of the model's own kind.

    Raises:
        ValueError: They are not.
        RuntimeError: Their names or shapes are not those of the model.
    """
    import torch

    expected = checkpoint.build_model().state_dict()
    if any(value.dtype != expected[name].dtype for name, value in checkpoint.state.items()):
        raise ValueError("it holds weights of another number type")
    if not all(torch.isfinite(value).all() for value in checkpoint.state.values()):
        raise ValueError("it holds weights that are not finite")


def require_match(path, what: str, got, expected, flag: str) -> None:
    """Nothing, if a checkpoint holds what was asked for, or nothing was asked for.

    Raises:
        PneumoError: It holds something else; the message names the flag that would fit.
    """
    if expected is not None and got != expected:
        raise PneumoError(
            f"{path} holds {what} {got}; expected {expected}. Name the checkpoint that fits, or {flag} {got}."
        )
