"""A trained model as one ONNX file that answers without this package."""

from __future__ import annotations

import json
import os
import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import predict_logits
from pneumo_utils.models.registry import build_model
from pneumo_utils.models.shipped import open_session

if TYPE_CHECKING:
    import onnx

EXPORT_HINT = 'Install them with `pip install "pneumo-utils[export]"`.'


def write_onnx(
    model: nn.Module, example: torch.Tensor, *, inputs: str, outputs: list[str], optimize: bool = False
) -> onnx.ModelProto:
    """A network as an ONNX model for batches of any length.

    Args:
        model: In evaluation mode.
        example: What it takes, a batch of two.
        inputs: The name of its input.
        outputs: The names of its outputs.
        optimize: Fold batch normalisation into the convolutions, so that the weights lose their names.

    Raises:
        UsageError: The packages that write ONNX are not installed.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise UsageError(f"Writing ONNX needs {' and '.join(missing)}, which is not installed. {EXPORT_HINT}")
    with warnings.catch_warnings(action="ignore"):  # the exporter's own
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            verbose=False,
            optimize=optimize,
            input_names=[inputs],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    model = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # the exporter's notes, which name folders of this machine
    return model


def strip_weights(model: onnx.ModelProto, names: set[str]) -> bytes:
    """The file of an ONNX model without the weights of these names; `open_session` puts them back.

    Raises:
        ValueError: It does not hold them all.
    """
    import onnx

    weights = [tensor for tensor in model.graph.initializer if tensor.name in names]
    if missing := set(names).difference(tensor.name for tensor in weights):
        raise ValueError(f"The graph lacks {', '.join(sorted(missing))}.")
    model = _simplify(model, weights)
    for tensor in weights:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights")
    model.graph.initializer.extend(weights)
    _shorten(model.graph)
    return model.SerializeToString()


def _simplify(model: onnx.ModelProto, weights: list[onnx.TensorProto]) -> onnx.ModelProto:
    """The model without its weights, and with all that does not depend on them computed beforehand.

    What the exporter leaves between the layers, such as biases of zero and the casts of constants, would
    keep ONNX Runtime from folding batch normalisation into a convolution, and cost half of its speed.
    """
    from onnx.helper import make_tensor_value_info
    from onnxscript import optimizer

    names = {tensor.name for tensor in weights}
    rest = [tensor for tensor in model.graph.initializer if tensor.name not in names]
    bare = type(model)()
    bare.CopyFrom(model)
    del bare.graph.initializer[:]
    bare.graph.initializer.extend(rest)
    bare.graph.input.extend(make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights)
    simple = optimizer.optimize(bare)
    inputs = [value for value in simple.graph.input if value.name not in names]
    del simple.graph.input[:]
    simple.graph.input.extend(inputs)
    return simple


def _shorten(graph: onnx.GraphProto) -> None:
    """Gives short names to what passes between the nodes, and drops what tools noted on them."""
    short = {value.name: value.name for value in graph.output}
    for node in graph.node:
        node.name = ""
        del node.metadata_props[:]
        node.input[:] = [short.get(name, name) for name in node.input]
        for place, name in enumerate(node.output):
            node.output[place] = short.setdefault(name, f"v{len(short)}")
    del graph.value_info[:]


@lru_cache
def make_graph(name: str, *, image_size: int) -> bytes:
    """The graph of a network of the registry, without its weights.

    Args:
        name: As for `build_model`.
        image_size: Height and width of its input, pixels.

    Returns:
        An ONNX file that lacks every floating-point number of the network's state, called there by the
        same names; it maps "films", float32 (B, 1, S, S) and normalised, to "logits", float32 (B,).

    Raises:
        UsageError: The packages that write ONNX are not installed.
    """
    network = build_model(name).eval()
    example = torch.zeros(2, 1, image_size, image_size)
    model = write_onnx(network, example, inputs="films", outputs=["logits"])
    return strip_weights(model, list_floats(network))


def list_floats(network: nn.Module) -> set[str]:
    """The names of a network's floating-point weights."""
    return {name for name, value in network.state_dict().items() if value.is_floating_point()}


MAX_DIFFERENCE = 1e-3
"""Between a logit by ONNX Runtime and by torch; a file that differs more is not written."""
NUM_CHECKED = 16
USAGE = (
    "films: uint8 (B, {size}, {size}), frontal chest films squashed to a square, 0 black and 255 white. "
    "probs: P(PNEUMONIA), calibrated; call it PNEUMONIA where probs >= threshold. "
    "Normalisation, mirror averaging and temperature are inside."
)


class FilmsToProbs(nn.Module):
    """The whole way of a checkpoint from films to probabilities.

    Args:
        checkpoint: The trained model.
    """

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.about, self.model = checkpoint, checkpoint.build_model()

    def forward(self, films: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of pneumonia and P(pneumonia), float (B,) each, for uint8 (B, S, S)."""
        inputs = self.about.transform(films)
        if self.about.flip_average:
            inputs = torch.cat([inputs, inputs.flip(-1)])
        logits = self.model(inputs)
        if self.about.flip_average:
            logits = logits.view(2, -1).mean(0)
        return logits, torch.sigmoid(logits / self.about.temperature)


def export_onnx(checkpoint: Checkpoint, path: Path) -> float:
    """Writes a model as ONNX, once ONNX Runtime has given the logits that torch gives.

    Args:
        checkpoint: The trained model.
        path: The file.

    Returns:
        The largest difference between their logits on phantoms.

    Raises:
        UsageError: The packages that write ONNX are not installed.
        PneumoError: The difference is above `MAX_DIFFERENCE`; no file is left.
    """
    size = checkpoint.transform.image_size
    example = torch.zeros(2, size, size, dtype=torch.uint8)
    network = FilmsToProbs(checkpoint).eval()
    model = write_onnx(network, example, inputs="films", outputs=["logits", "probs"], optimize=True)
    for key, value in describe_model(checkpoint).items():
        model.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    content = model.SerializeToString()
    difference = measure_difference(checkpoint, content)
    if not difference <= MAX_DIFFERENCE:
        raise PneumoError(
            f"ONNX Runtime and torch differ by {difference:.1e} in a logit of {checkpoint.model_name}; "
            f"expected {MAX_DIFFERENCE:.0e} at most. Nothing was written; try other versions of torch and "
            "onnxruntime."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def describe_model(checkpoint: Checkpoint) -> dict:
    """What a user of the file has to know, by name, as plain values."""
    about = checkpoint
    return {
        "model": about.model_name,
        "purpose": "For teaching, never for diagnosis.",
        "usage": USAGE.format(size=about.transform.image_size),
        "trained_on": about.source,
        "class_names": list(about.class_names),
        "image_size": about.transform.image_size,
        "mean": about.transform.mean,
        "std": about.transform.std,
        "flip_average": about.flip_average,
        "temperature": about.temperature,
        "threshold": about.threshold,
        "screening_threshold": about.screening_threshold,
        "refer_limits": about.refer_limits,
    }


def measure_difference(checkpoint: Checkpoint, content: bytes) -> float:
    """The largest difference between a logit by ONNX Runtime and by torch, on phantoms.

    Args:
        checkpoint: The model.
        content: Its ONNX file.
    """
    films = make_phantoms(NUM_CHECKED, image_size=checkpoint.transform.image_size, split="test").images
    logits, _ = open_session(content).run(None, {"films": films})
    about = checkpoint
    expected = predict_logits(
        about.build_model(), films, transform=about.transform, flip_average=about.flip_average
    )
    return float(np.abs(logits - expected).max())
