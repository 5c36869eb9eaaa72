"""Measures the project against what people use instead: `python -m tools.benchmarks NAME`.

Each module has `add_flags(parser)` for what it needs to know, and `measure(arguments)`, which prints as it
goes and returns its figures as plain values.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from pneumo_utils.errors import UsageError

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))  # they share films and the browser


def run_apart(work: Callable, *arguments, **settings):
    """What `work(...)` of a module returns in a fresh process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments, **settings).result()


def require_linux(what: str) -> None:
    """Raises a UsageError on another system."""
    if sys.platform != "linux":
        raise UsageError(f"This benchmark rests on {what}; expected Linux, got {sys.platform}. Run it there.")


def compute_ratio(own: Sequence[float], known: Sequence[float]) -> dict[str, float]:
    """The ratio of two medians, beside the lowest and the highest ratio of a pair."""
    ratios = [mine / other for mine, other in zip(own, known, strict=True)]
    ratio = statistics.median(own) / statistics.median(known)
    return {"ratio": round(ratio, 3), "lowest": round(min(ratios), 3), "highest": round(max(ratios), 3)}
