"""Checkpoints: weights and plain values in one file, written whole and read without running a pickle.

torch is imported where weights are touched: a model that ships answers without it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pneumo_utils.config import CLASS_NAMES, EvalTransform, TrainConfig
from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.runtime import write_atomically

if TYPE_CHECKING:
    import torch

ENSEMBLE_SUFFIX = "_ensemble"
FORMAT_VERSION = 2
MAX_MEMBERS = 100


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with all that is needed to use it as it was validated."""

    config: TrainConfig
    transform: EvalTransform
    state: Mapping[str, torch.Tensor]  # the weights, by name, on the CPU
    threshold: float  # call it pneumonia when prob >= threshold, 0 to 1; chosen on validation for balance
    screening_threshold: float | None = None  # the same, chosen to miss few pneumonias; None if never chosen
    temperature: float = 1.0  # divides the logit before the sigmoid, above 0; chosen on validation
    refer_limits: tuple[float, float] | None = None  # for the error rate `REFER_ALPHA` in each class
    flip_average: bool = False  # whether a film's logit is the mean over it and its mirror image
    num_members: int = 1  # networks whose logits are averaged; above 1 it is an ensemble of seeds
    pretrained: bool = False  # whether training started from ImageNet weights
    taught_by: str = ""  # the network whose probabilities stood beside the labels, and a hash of its weights
    source: str = "unknown"
    data_fingerprint: str = ""  # of the training films
    val_metrics: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    class_names: tuple[str, ...] = CLASS_NAMES

    @property
    def model_name(self) -> str:
        """The recipe's model; an ensemble of its seeds is `<model>_ensemble`."""
        return self.config.model + (ENSEMBLE_SUFFIX if self.num_members > 1 else "")

    def build_model(self) -> torch.nn.Module:
        """The model with its weights, ready to predict; a ValueError if they are not those of the model."""
        from pneumo_utils.models.registry import Ensemble, build_model

        members = [build_model(self.config.model) for _ in range(self.num_members)]
        model = members[0] if self.num_members == 1 else Ensemble(members)
        load_weights(model, self.state)
        return model.eval()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> Path:
    """Writes the file as a whole, or raises a PneumoError and leaves what is there."""
    content = {"state": dict(checkpoint.state), "values": to_values(checkpoint)}
    return save_tensors(content, path, kind="checkpoint")


def load_checkpoint(path: Path, *, model_name: str | None = None, say=print) -> Checkpoint:
    """Reads a checkpoint, of any model if none is named; its weights are finite and fit the model.

    Raises PneumoError where the file is absent, damaged, of another format or of another model.
    """
    from pneumo_utils.models.registry import require_model

    if model_name is not None:
        require_model(model_name.removesuffix(ENSEMBLE_SUFFIX))
    if not path.is_file():
        raise PneumoError(
            f"{path.name} is not there; expected a checkpoint in {path.parent.name}/. Run the "
            "lesson that trains it (02 or 03), or `pneumo train`."
        )
    try:
        content = load_tensors(path)
        checkpoint = from_values(content["values"], unwrap_weights(content["state"], say=say))
        checkpoint.build_model()
    except Exception as error:  # a foreign or torn file can fail in any way; the message names it
        raise PneumoError(
            f"{path} cannot be read as a checkpoint ({first_line(error)}). Expected a file written by "
            "`pneumo train`. Train again, or name another file."
        ) from error
    require_match(path, "model", checkpoint.model_name, model_name, "--model")
    return checkpoint


def to_values(checkpoint: Checkpoint) -> dict:
    """Everything but the weights, as plain values that also JSON can hold."""
    values = asdict(replace(checkpoint, state={}))
    del values["state"]
    return values | {"format": FORMAT_VERSION}


def from_values(values: dict, state: Mapping[str, torch.Tensor]) -> Checkpoint:
    """The inverse of `to_values`; a ValueError where the format is another or a value is out of range."""
    values = dict(values)
    if values.pop("format") != FORMAT_VERSION:
        raise ValueError("it has another format version")
    values["config"] = TrainConfig.from_dict(values["config"])
    values["transform"] = EvalTransform(**values["transform"])
    for name in ("class_names", "refer_limits"):  # JSON has lists only
        values[name] = values.get(name) and tuple(values[name])
    checkpoint = Checkpoint(state=state, **values)
    if type(checkpoint.num_members) is not int or not 1 <= checkpoint.num_members <= MAX_MEMBERS:
        raise ValueError(f"its number of members is not 1 to {MAX_MEMBERS}")
    limits = checkpoint.refer_limits or ()
    probs = (checkpoint.threshold, checkpoint.screening_threshold or 0.0, *limits)
    if not all(0 <= prob <= 1 for prob in probs) or not 0 < checkpoint.temperature < float("inf"):
        raise ValueError("a threshold, a limit or the temperature is out of range")
    if checkpoint.class_names != CLASS_NAMES:
        raise ValueError(f"its classes are {', '.join(checkpoint.class_names)}")
    return checkpoint


def unwrap_weights(state: Mapping[str, torch.Tensor], *, say: Callable[[str], None]) -> dict:
    """Weights by the model's own names; what a wrapper of torch adds to them is taken off, which is said."""
    named = {name.replace("_orig_mod.", "").removeprefix("module."): value for name, value in state.items()}
    if named.keys() != state.keys():
        named.pop("n_averaged", None)  # of AveragedModel
        say("The weights were kept inside a wrapper (DataParallel, torch.compile); its names are taken off.")
    return named


def load_weights(model: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Gives a model its weights; a ValueError names those that lack, do not fit or are not finite."""
    import torch

    own = model.state_dict()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:  # after its head a line for each kind, which may name hundreds
        raise ValueError(f"the weights do not fit: {str(error).splitlines()[1].strip()[:120]}") from error
    for name, value in state.items():
        if value.dtype != own[name].dtype:
            raise ValueError(f"the weights have another number type in {name}")
        if not torch.isfinite(value).all():
            raise ValueError(f"the weights hold values that are not numbers or infinite in {name}")


def require_match(path: Path | str, what: str, got, expected, flag: str) -> None:
    """Raises a PneumoError that names the flag that fits, unless `got` is `expected` or that is None."""
    if expected is not None and got != expected:
        raise PneumoError(
            f"{path} holds {what} {got}; expected {expected}. Name the checkpoint that fits, or {flag} {got}."
        )


def save_tensors(content, path: Path, *, kind: str) -> Path:
    """The same for any tensors and plain values in dicts and lists; messages call the file a `kind`."""
    import torch

    try:
        write_atomically(path, lambda file: torch.save(content, file))
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        raise PneumoError(
            f"The {kind} {path.name} could not be written ({first_line(error)}). Free some "
            "disk space, or name another folder with --output-dir."
        ) from error
    return path


def load_tensors(path: Path):
    """What `save_tensors` wrote, on the CPU; also a file from elsewhere, if it holds no more than that.

    A file that is damaged, or holds something else, which could run code, is a ValueError.
    """
    import torch

    try:
        if zipfile.is_zipfile(path):  # torch.save compresses nothing: what unpacks to more is a trap
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > Path(path).stat().st_size:
                    raise ValueError("its parts are larger than the whole")
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # pickle, zip and torch have many words for it, none for a user
        raise ValueError("it is not a file of tensors and plain values") from error
