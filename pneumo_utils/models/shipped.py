"""Trained models that come with the package: half-precision weights, an ONNX graph and a card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumo_utils.errors import PneumoError, UsageError, first_line
from pneumo_utils.models.checkpoint import (
    ENSEMBLE_SUFFIX,
    Checkpoint,
    from_values,
    load_checkpoint,
    to_values,
)
from pneumo_utils.models.halves import load_halves, save_halves

if TYPE_CHECKING:
    import torch

WEIGHTS = Path(__file__).parent / "weights"


class ShippedWeights(Mapping):
    """The weights of a model that ships: tensors for whoever asks by name, arrays for ONNX Runtime.

    Args:
        arrays: By name; float32, or whole numbers.
        graph: The ONNX graph of the network, which lacks them.
    """

    def __init__(self, arrays: dict[str, np.ndarray], graph: bytes):
        self._arrays, self.graph = arrays, graph

    def list_members(self) -> list[dict[str, np.ndarray]]:
        """The weights of each member of an ensemble, or of the one network, as the graph names them."""
        members = {}
        for name, value in self._arrays.items():
            member, own_name = re.fullmatch(r"(members\.\d+\.)?(.*)", name).groups()
            members.setdefault(member, {})[own_name] = value
        return list(members.values())

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        return torch.from_numpy(self._arrays[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


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
    """Writes `<model>.safetensors` in half precision, its graph `<model>.onnx` and `<model>.json`.

    Args:
        checkpoint: The model, its weights already rounded and its choices made on those.
        card: Plain values about it, kept beside the checkpoint's own.
        folder: Where to.

    Returns:
        The path of the card.

    Raises:
        UsageError: The packages that write ONNX are not installed.
    """
    from pneumo_utils.models.onnx_graph import make_graph

    graph = make_graph(checkpoint.config.model, image_size=checkpoint.transform.image_size)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{checkpoint.model_name}.onnx").write_bytes(graph)
    save_halves(checkpoint.state, folder / f"{checkpoint.model_name}.safetensors")
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
        graph = (folder / f"{name}.onnx").read_bytes()
        return from_values(values, ShippedWeights(load_halves(folder / f"{name}.safetensors"), graph))
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
    from pneumo_utils.models.registry import require_model

    require_model(name.removesuffix(ENSEMBLE_SUFFIX))
    raise PneumoError(
        f"{path.name} is not there and no trained {name} comes with the package (it brings {_listed()}). "
        "Run the lesson that trains it (02 or 03), or `pneumo train`."
    )


def _listed() -> str:
    return ", ".join(list_shipped()) or "none"
