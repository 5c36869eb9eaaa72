"""Two models on the same films: is the difference more than chance?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import (
    LOWER_IS_BETTER,
    METRICS,
    NUM_DRAWS,
    Predictions,
    compute_draws,
    compute_metrics,
    draw_patient_weights,
)


@dataclass(frozen=True)
class Difference:
    """One figure of model B minus model A.

    Attributes:
        metric: Its name.
        value: B minus A, -1 to 1.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Twice the share of draws on the far side of zero, 0 to 1; NaN where it was not computed.
    """

    metric: str
    value: float
    low: float
    high: float
    p: float = float("nan")

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def name_better(self, name_a: str, name_b: str) -> tuple[str, str]:
        """The better model and the worse one."""
        b_is_better = (self.value > 0) != (self.metric in LOWER_IS_BETTER)
        return (name_b, name_a) if b_is_better else (name_a, name_b)

    def describe(self, name_a: str, name_b: str) -> str:
        """The difference in words."""
        better, worse = self.name_better(name_a, name_b)
        size = f"{abs(self.value):.3f} (95 % interval of the difference {self.low:+.3f} to {self.high:+.3f})"
        if self.is_clear:
            return f"{self.metric}: {better} is better than {worse} by {size}."
        return f"{self.metric}: no clear difference; {better} is ahead by {size}."


def compare_models(
    first: Predictions,
    second: Predictions,
    *,
    thresholds: tuple[float, float],
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> list[Difference]:
    """Paired bootstrap over patients: both models are judged on the same draws.

    Args:
        first: Model A's predictions.
        second: Model B's, on the same films in the same order.
        thresholds: A's and B's.
        num_draws: Bootstrap draws, 1 or more.
        seed: Of the draws.

    Returns:
        One difference a figure that is defined for both, B minus A.

    Raises:
        PneumoError: The films are not the same, or are all of one patient.
    """
    judged = judge_models((first, second), thresholds, num_draws=num_draws, seed=seed)
    return [
        compute_difference(*judged, metric)
        for metric in METRICS
        if all(one.points[metric] is not None for one in judged)  # the precision of a model that calls none
    ]


@dataclass(frozen=True)
class Judged:
    """A model's figures, by name.

    Attributes:
        points: On the films as they are, from `compute_metrics`.
        draws: float (D,) each, from `compute_draws`.
    """

    points: dict
    draws: dict[str, np.ndarray]


def judge_models(
    models: Sequence[Predictions], thresholds: Sequence[float], *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> list[Judged]:
    """The figures of several models, their draws being of the same patients.

    Args:
        models: Their predictions, on the same films in the same order.
        thresholds: One a model.
        num_draws: Bootstrap draws, 1 or more.
        seed: Of the draws.

    Raises:
        PneumoError: The films are not the same, or are all of one patient.
    """
    first, *others = models
    for other in others:
        for name in ("names", "labels", "patients"):
            if not np.array_equal(getattr(first, name), getattr(other, name)):
                raise PneumoError(f"The models were judged on different films: {name} differ. Use one split.")
    if first.num_patients < 2:
        raise PneumoError("The films are of one patient; a difference cannot be told from chance.")
    weights = draw_patient_weights(first.patients, num_draws=num_draws, seed=seed)
    return [
        Judged(
            compute_metrics(model.labels, model.probs, threshold=threshold),
            compute_draws(model, weights, threshold=threshold),
        )
        for model, threshold in zip(models, thresholds, strict=True)
    ]


def compute_difference(first: Judged, second: Judged, metric: str) -> Difference:
    """Model B minus model A in a figure that is defined for both.

    Args:
        first: Model A, from `judge_models`.
        second: Model B, from the same call.
        metric: One of `METRICS`.

    Source:
        Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2: the films as they are
        count as one more draw, which keeps p above 0.
    """
    draws = second.draws[metric] - first.draws[metric]
    draws = draws[np.isfinite(draws)]
    low, high = np.quantile(draws, [0.025, 0.975])
    tail = (1 + min((draws <= 0).sum(), (draws >= 0).sum())) / (1 + len(draws))
    value = second.points[metric] - first.points[metric]
    return Difference(metric, float(value), float(low), float(high), min(1.0, 2 * float(tail)))
