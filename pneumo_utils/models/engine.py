"""What turns films into logits: ONNX Runtime for a model that ships, torch for one of one's own."""

from typing import Protocol

import numpy as np

from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import predict_logits
from pneumo_utils.models.shipped import ShippedWeights


class Engine(Protocol):
    """A model that is ready to answer."""

    def compute_logits(self, films: np.ndarray) -> np.ndarray:
        """Logits of pneumonia, float64 (B,), for uint8 (B, S, S) of the model's input size."""


def make_engine(checkpoint: Checkpoint) -> Engine:
    """The faster engine that the checkpoint can use.

    Raises:
        PneumoError: The files of a model that ships are damaged.
    """
    if isinstance(checkpoint.state, ShippedWeights):
        return OnnxEngine(checkpoint)
    return TorchEngine(checkpoint)


class TorchEngine:
    """torch on the best device.

    Args:
        checkpoint: Any.

    Attributes:
        model: The network, in evaluation mode.
    """

    def __init__(self, checkpoint: Checkpoint):
        from pneumo_utils.runtime import make_accelerator

        self._about = checkpoint
        self.model = checkpoint.build_model().to(make_accelerator().device)

    def compute_logits(self, films: np.ndarray) -> np.ndarray:
        """As `Engine.compute_logits`."""
        about = self._about
        return predict_logits(self.model, films, transform=about.transform, flip_average=about.flip_average)


class OnnxEngine:
    """ONNX Runtime on the CPU, without torch.

    Args:
        checkpoint: Of a model that ships.

    Raises:
        PneumoError: Its files are damaged.
    """

    def __init__(self, checkpoint: Checkpoint):
        from pneumo_utils.models.sessions import open_session

        self._about, weights = checkpoint, checkpoint.state
        try:
            self._sessions = [open_session(weights.graph, member) for member in weights.list_members()]
        except Exception as error:  # a damaged file can fail in any way; the message names it
            raise PneumoError(
                f"The {checkpoint.model_name} that comes with the package cannot be run "
                f"({first_line(error)}). Install the package again."
            ) from error

    def compute_logits(self, films: np.ndarray) -> np.ndarray:
        """As `Engine.compute_logits`."""
        inputs = self._about.transform.normalise(films[:, None].astype(np.float32) / 255)
        if self._about.flip_average:
            inputs = np.concatenate([inputs, inputs[..., ::-1]])
        logits = [session.run(None, {"films": inputs})[0] for session in self._sessions]
        return np.array(logits, np.float64).reshape(-1, len(films)).mean(0)
