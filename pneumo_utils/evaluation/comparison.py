"""Two models on the same films: is the difference more than chance?"""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import (
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
    """

    metric: str
    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def describe(self, name_a: str, name_b: str) -> str:
        """The difference in words."""
        better, worse = (name_b, name_a) if self.value > 0 else (name_a, name_b)
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
        PneumoError: The films are not the same.
    """
    if not np.array_equal(first.names, second.names) or not np.array_equal(first.labels, second.labels):
        raise PneumoError("The two models were judged on different films; evaluate both on the same split.")
    weights = draw_patient_weights(first.patients, num_draws=num_draws, seed=seed)
    points, draws = [], []
    for predictions, threshold in zip((first, second), thresholds, strict=True):
        points.append(compute_metrics(predictions.labels, predictions.probs, threshold=threshold))
        draws.append(compute_draws(predictions, weights, threshold=threshold))
    differences = []
    for metric in METRICS:
        if points[0][metric] is None or points[1][metric] is None:
            continue  # the precision of a model that calls no film pneumonia, say
        low, high = np.nanquantile(draws[1][metric] - draws[0][metric], [0.025, 0.975])
        value = points[1][metric] - points[0][metric]
        differences.append(Difference(metric, float(value), float(low), float(high)))
    return differences
