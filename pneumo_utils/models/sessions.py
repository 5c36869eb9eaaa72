"""ONNX Runtime: a graph and the weights it lacks become something that can be run."""

import os
from collections.abc import Mapping

import numpy as np
import onnxruntime
from onnxruntime import InferenceSession


def open_session(
    graph: bytes, weights: Mapping[str, np.ndarray] | None = None, *, num_threads: int | None = None
) -> InferenceSession:
    """A session on the CPU; several threads may run it at once.

    Args:
        graph: An ONNX file, whole or without its weights, as `onnx_graph.make_graph` returns it.
        weights: By name, what the graph lacks; whole numbers are passed over, as they only count batches.
            They are there before the graph is optimised, so that batch normalisation is folded into the
            convolutions.
        num_threads: Of each run, and 1 makes none but the caller's; if None as many as torch takes: what
            `OMP_NUM_THREADS` says, else the number of cores.

    Raises:
        Exception: The graph is damaged, or the weights do not fit it, in ONNX Runtime's own words.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = num_threads or _count_threads()
    # Threads that wait by spinning would take the cores from those that decode the next films.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if weights:
        floats = {name: value for name, value in weights.items() if value.dtype.kind == "f"}
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in floats.values()]
        options.add_external_initializers(list(floats), values)
    return InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _count_threads() -> int:
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # further numbers are for nested parts
    return int(said) if said.isdecimal() and int(said) else os.cpu_count() or 1
