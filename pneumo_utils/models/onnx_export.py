"""A trained model as one ONNX file that answers without this package."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.onnx_graph import write_onnx
from pneumo_utils.models.predict import predict_logits
from pneumo_utils.models.sessions import open_session

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
