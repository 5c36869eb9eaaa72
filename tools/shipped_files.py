"""The files of a network that ships: its ONNX graph without the weights, and these in half precision.

So the weights are kept once, for torch and ONNX Runtime, and the members of an ensemble share one graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.numpy import save_file
from torch import nn

from pneumo_utils.models.onnx import build_onnx
from pneumo_utils.models.registry import build_model

if TYPE_CHECKING:
    import onnx


def save_halves(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Writes weights by name in half precision; whole numbers stay as they are.

    Args:
        state: On the CPU.
        path: A `.safetensors` file, in a folder that is there.
    """
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file({name: value.contiguous().numpy() for name, value in halves.items()}, path)


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
    return strip_weights(network, build_onnx(network, example, inputs="films", outputs=["logits"]))


def strip_weights(network: nn.Module, model: onnx.ModelProto) -> bytes:
    """The file of a network's ONNX model without its weights; `open_session` puts them back.

    Raises:
        ValueError: The model does not hold them all under their names.
    """
    import onnx

    names = {name for name, value in network.state_dict().items() if value.is_floating_point()}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in names]
    if missing := names.difference(tensor.name for tensor in weights):
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
