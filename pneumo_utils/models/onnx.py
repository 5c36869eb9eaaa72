"""A trained model as one ONNX file that answers without this package."""

from __future__ import annotations

import json
import warnings
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
from pneumo_utils.models.shipped import open_session
from pneumo_utils.runtime import write_atomically

if TYPE_CHECKING:
    import onnx

MAX_DIFFERENCE = 1e-3  # between a logit by ONNX Runtime and by torch; else no file is written
NUM_CHECKED = 16
DECISION = ("class_names", "flip_average", "temperature", "threshold", "screening_threshold", "refer_limits")
USAGE = (
    "films: uint8 (B, {t.image_size}, {t.image_size}), frontal chest films, read by the preset {t.name} and "
    "squashed. Percentile: no frame, the 1st and 99th percentile of the levels at 0 and 255. "
    "probs: P(PNEUMONIA), calibrated; call it PNEUMONIA where probs >= threshold. All else is inside."
)


class FilmsToProbs(nn.Module):
    """The whole way of a checkpoint: logits and P(pneumonia), float (B,) each, for films, uint8 (B, S, S)."""

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.checkpoint, self.model = checkpoint, checkpoint.build_model()

    def forward(self, films: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = self.checkpoint.transform(films)
        if self.checkpoint.flip_average:
            inputs = torch.cat([inputs, inputs.flip(-1)])
        logits = self.model(inputs)
        if self.checkpoint.flip_average:
            logits = logits.view(2, -1).mean(0)
        return logits, torch.sigmoid(logits / self.checkpoint.temperature)


def export_onnx(checkpoint: Checkpoint, path: Path) -> float:
    """Writes a model as ONNX; returns how far its logits on phantoms differ from torch's at most.

    Above `MAX_DIFFERENCE` that is a PneumoError and no file is left; also raises as `build_onnx`.
    """
    size = checkpoint.transform.image_size
    network, example = FilmsToProbs(checkpoint).eval(), torch.zeros(2, size, size, dtype=torch.uint8)
    model = build_onnx(network, example, inputs="films", outputs=["logits", "probs"], optimize=True)
    for key, value in describe_model(checkpoint).items():
        model.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    content = model.SerializeToString()
    films = make_phantoms(NUM_CHECKED, image_size=size, split="test").images
    reading: dict = {"transform": checkpoint.transform, "flip_average": checkpoint.flip_average}
    expected = predict_logits(checkpoint.build_model(), films, **reading)
    logits, _ = open_session(content).run(None, {"films": films})
    difference = float(np.abs(logits - expected).max())
    if not difference <= MAX_DIFFERENCE:
        raise PneumoError(
            f"ONNX Runtime and torch differ by {difference:.1e} in a logit of {checkpoint.model_name}; "
            f"expected {MAX_DIFFERENCE:.0e} at most. Nothing was written; try other versions of torch and "
            "onnxruntime."
        )
    write_atomically(path, lambda file: file.write(content))
    return difference


def build_onnx(
    network: nn.Module, example: torch.Tensor, *, inputs: str, outputs: list[str], optimize: bool = False
) -> onnx.ModelProto:
    """A network in evaluation mode, which takes the `example` of two, as an ONNX model for any batch.

    `inputs` and `outputs` are the names that these get. To `optimize` folds batch normalisation into the
    convolutions, so that the weights lose their names. Without the packages that write ONNX, a UsageError.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"Writing ONNX needs {' and '.join(missing)}, which is not installed. "
            'Install them with `pip install "pneumo-utils[export]"`.'
        )
    with warnings.catch_warnings(action="ignore"):  # the exporter's own
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            optimize=optimize,
            input_names=[inputs],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None  # with dynamo
    model = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # the exporter's notes, which name folders of this machine
    return model


def describe_model(checkpoint: Checkpoint) -> dict:
    """What a user of the file has to know."""
    texts = {"model": checkpoint.model_name, "purpose": "For teaching, never for diagnosis."}
    texts |= {"usage": USAGE.format(t=checkpoint.transform), "trained_on": checkpoint.source}
    values = texts | {name: getattr(checkpoint.transform, name) for name in ("image_size", "mean", "std")}
    return values | {name: getattr(checkpoint, name) for name in DECISION}
