"""Trained models that come with the package: half-precision weights with a card beside them."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pneumo_utils.errors import PneumoError, UsageError, first_line
from pneumo_utils.models.checkpoint import Checkpoint, from_values, load_checkpoint, to_values
from pneumo_utils.models.ensemble import ENSEMBLE_SUFFIX
from pneumo_utils.models.registry import require_model

WEIGHTS = Path(__file__).parent / "weights"


def list_shipped() -> list[str]:
    """Names of the models that come with the package, sorted."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def round_to_half(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The weights as they will be after a trip through half precision; whole numbers stay as they are."""
    return {
        name: value.half().float() if value.is_floating_point() else value
        for name, value in checkpoint.state.items()
    }


def save_shipped(checkpoint: Checkpoint, card: dict, folder: Path = WEIGHTS) -> Path:
    """Writes `<model>.safetensors` in half precision and `<model>.json`.

    Args:
        checkpoint: The model, its weights already rounded and its choices made on those.
        card: Plain values about it, kept beside the checkpoint's own.
        folder: Where to.

    Returns:
        The path of the card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    halves = {
        name: value.half().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in checkpoint.state.items()
    }
    save_file(halves, folder / f"{checkpoint.model_name}.safetensors")
    path = folder / f"{checkpoint.model_name}.json"
    content = {"checkpoint": to_values(checkpoint), "card": card}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def load_shipped(name: str, folder: Path = WEIGHTS) -> Checkpoint:
    """A model that comes with the package.

    Args:
        name: One of `list_shipped()`.
        folder: Where from.

    Raises:
        UsageError: No such model ships.
        PneumoError: Its files are damaged.
    """
    if not (folder / f"{name}.safetensors").is_file():
        raise UsageError(f"No trained {name} comes with the package; expected one of {_listed()}.")
    try:
        values = load_card(name, folder)["checkpoint"]
        state = load_file(folder / f"{name}.safetensors")
        state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        return from_values(values, state)
    except UsageError:  # the backbone's package is not installed
        raise
    except Exception as error:  # a damaged file can fail in any way; the message names it
        raise PneumoError(
            f"The {name} that comes with the package cannot be read ({first_line(error)}). "
            "Install the package again."
        ) from error


def load_card(name: str, folder: Path = WEIGHTS) -> dict:
    """What is known of a model that comes with the package: {"checkpoint": ..., "card": ...}."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def find_checkpoint(name: str, path: Path, *, is_named: bool = False, say=lambda text: None) -> Checkpoint:
    """One's own trained model if there is one, else the one that comes with the package.

    Args:
        name: The model.
        path: Where one's own would lie.
        is_named: The path was asked for: no other is taken in its place.
        say: Takes the sentence that the package's model is used.

    Raises:
        PneumoError: There is neither, or the file is damaged or of another model.
    """
    if is_named or path.is_file():
        return load_checkpoint(path, model_name=name)
    if name in list_shipped():
        say(f"There is no {path.name} of your own: the {name} that comes with the package is used.")
        return load_shipped(name)
    require_model(name.removesuffix(ENSEMBLE_SUFFIX))
    raise PneumoError(
        f"{path.name} is not there and no trained {name} comes with the package (it brings {_listed()}). "
        "Run the lesson that trains it (02 or 03), or `pneumo train`."
    )


def _listed() -> str:
    return ", ".join(list_shipped()) or "none"
