"""Trained models that come with the package, answered by ONNX Runtime without torch.

Each is `<model>.safetensors`, its weights in half precision, `<model>.onnx`, the graph that lacks them, and
`<model>.json`, the checkpoint's other values and the model card; written by `tools/ship.py`.
"""

from __future__ import annotations

import json
import os
import re
from collections import UserDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file

from pneumo_utils.errors import PneumoError, UsageError, first_line
from pneumo_utils.models.checkpoint import ENSEMBLE_SUFFIX, Checkpoint, from_values, load_checkpoint

if TYPE_CHECKING:
    import torch
    from onnxruntime import InferenceSession

WEIGHTS = Path(__file__).parent / "weights"  # looked up at each call


class ShippedWeights(UserDict):
    """The weights of a model that ships: tensors if asked for by name, arrays for ONNX Runtime's graph."""

    def __init__(self, arrays: dict[str, np.ndarray], graph: bytes):
        super().__init__(arrays)
        self.graph = graph

    def list_members(self) -> list[dict[str, np.ndarray]]:
        """The weights of each member of an ensemble, or of the one network, as the graph names them."""
        members: dict[str, dict[str, np.ndarray]] = {}
        for name, value in self.data.items():
            own_name = re.sub(r"^members\.\d+\.", "", name)
            members.setdefault(name.removesuffix(own_name), {})[own_name] = value
        return list(members.values())

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.data[name])


def find_checkpoint(
    name: str | None, path: Path, *, is_named: bool = False, say: Callable[[str], None] = lambda text: None
) -> Checkpoint:
    """The trained model at `path` if there is one, else the one that comes with the package, which is said.

    Where the path `is_named` by the user, no other is taken in its place, and a name of None is the
    file's own. Raises PneumoError if there is neither, or the file is damaged or of another model.
    """
    if is_named or path.is_file() or name is None:
        return load_checkpoint(path, model_name=name, say=say)
    if name in list_shipped():
        say(f"There is no {path.name} of your own: the {name} that comes with the package is used.")
        return load_shipped(name)
    from pneumo_utils.models.registry import require_model

    require_model(name.removesuffix(ENSEMBLE_SUFFIX))
    raise PneumoError(
        f"{path.name} is not there and no trained {name} comes with the package (it brings "
        f"{', '.join(list_shipped())}). Run the lesson that trains it (02 or 03), or `pneumo train`."
    )


def list_shipped() -> list[str]:
    """Names of the models that come with the package, sorted."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def load_shipped(name: str, folder: Path | None = None) -> Checkpoint:
    """A model that comes with the package; `folder` holds others of the kind.

    Raises UsageError if there is no such model, PneumoError if its files are damaged.
    """
    folder = folder or WEIGHTS
    if not (folder / f"{name}.safetensors").is_file():
        known = ", ".join(list_shipped())
        raise UsageError(f"No trained {name} comes with the package; expected one of {known}.")
    try:
        values = load_card(name, folder)["checkpoint"]
        graph = (folder / f"{name}.onnx").read_bytes()
        return from_values(values, ShippedWeights(load_halves(folder / f"{name}.safetensors"), graph))
    except Exception as error:  # a damaged file can fail in any way; the message names it
        raise PneumoError(
            f"The {name} that comes with the package cannot be read ({first_line(error)}). "
            "Install the package again."
        ) from error


def load_card(name: str, folder: Path | None = None) -> dict:
    """What is known of a model that comes with the package: {"checkpoint": ..., "card": ...}."""
    return json.loads(((folder or WEIGHTS) / f"{name}.json").read_text(encoding="utf-8"))


def load_halves(path: Path) -> dict[str, np.ndarray]:
    """Weights by name from a file in half precision, in float32; whole numbers as they are."""
    arrays = load_file(path)
    arrays |= {name: value.astype(np.float32) for name, value in arrays.items() if value.dtype.kind == "f"}
    if not all(np.isfinite(value).all() for value in arrays.values()):
        raise ValueError("it holds weights that are not finite")
    return arrays


def open_session(
    graph: bytes, weights: Mapping[str, np.ndarray] | None = None, *, num_threads: int | None = None
) -> InferenceSession:
    """A session of ONNX Runtime on the CPU; several threads may run it at once.

    `weights` are what the graph lacks; whole numbers are passed over, as they only count batches. They are
    there before the graph is optimised, so that it folds batch normalisation into the convolutions.
    `num_threads` are those of a run, 1 the caller's own; None is as many as torch takes: what
    `OMP_NUM_THREADS` says, else the number of cores. Damage is an error in ONNX Runtime's own words.
    """
    # Before the import, which would keep an identifier of this machine and look for its maker's server.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # further numbers are for nested parts
    as_torch = int(said) if said.isdecimal() and int(said) else os.cpu_count() or 1
    options.intra_op_num_threads = num_threads or as_torch
    # Threads that wait by spinning would take the cores from those that decode the next films.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if weights:
        floats = {name: value for name, value in weights.items() if value.dtype.kind == "f"}
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in floats.values()]
        options.add_external_initializers(list(floats), values)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
