"""Models compared on the same images: paired bootstrap by patient, DeLong's and McNemar's tests, Holm."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import norm, rankdata

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.metrics import (
    LOWER_IS_BETTER,
    METRICS,
    NUM_DRAWS,
    Predictions,
    check_both_classes,
    check_labels_and_probs,
    compute_draws,
    compute_metrics,
    draw_patient_weights,
)


@dataclass(frozen=True)
class Difference:
    """Model B minus model A in one metric, -1 to 1, with its 95 % interval.

    `p` is twice the share of draws on the far side of zero; NaN where it was not computed.
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

    def describe_size(self, remark: str = "") -> str:
        """How large it is, with its interval and a remark behind that."""
        interval = f"95 % interval of the difference {self.low:+.3f} to {self.high:+.3f}"
        return f"by {abs(self.value):.3f} ({interval}{remark})"

    def describe(self, name_a: str, name_b: str) -> str:
        """The difference in words."""
        better, worse = self.name_better(name_a, name_b)
        if self.is_clear:
            return f"{self.metric}: {better} is better than {worse} {self.describe_size()}."
        return f"{self.metric}: no clear difference; {better} is ahead {self.describe_size()}."


def compare_models(
    first: Predictions, second: Predictions, *, thresholds: tuple[float, float], num_draws: int = NUM_DRAWS
) -> list[Difference]:
    """Paired bootstrap over patients: model B, the second, minus model A in each metric defined for both.

    Raises:
        PneumoError: The films are not the same in the same order, or are all of one patient.
    """
    judged = judge_models((first, second), thresholds, num_draws=num_draws)
    return [
        compute_difference(*judged, metric)
        for metric in METRICS
        if all(one.points[metric] is not None for one in judged)  # the precision of a model that calls none
    ]


@dataclass(frozen=True)
class Judged:
    """What `compute_metrics` (points) and `compute_draws` give for a model."""

    points: dict
    draws: dict[str, np.ndarray]


def judge_models(
    models: Sequence[Predictions], thresholds: Sequence[float], *, num_draws: int = NUM_DRAWS
) -> list[Judged]:
    """The metrics of models on the same films, on the same draws of patients; other films are refused."""
    first, *others = models
    for other in others:
        for name in ("names", "labels", "patients"):
            if not np.array_equal(getattr(first, name), getattr(other, name)):
                raise PneumoError(f"The models were judged on different films: {name} differ. Use one split.")
    if first.num_patients < 2:
        raise PneumoError("The films are of one patient; a difference cannot be told from chance.")
    weights = draw_patient_weights(first.patients, num_draws=num_draws)
    return [
        Judged(
            compute_metrics(model.labels, model.probs, threshold=threshold),
            compute_draws(model, weights, threshold=threshold),
        )
        for model, threshold in zip(models, thresholds, strict=True)
    ]


def compute_difference(first: Judged, second: Judged, metric: str) -> Difference:
    """Model B, the second, minus model A in a metric that is defined for both.

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


@dataclass(frozen=True)
class Delong:
    """AUROC of model B minus that of model A, -1 to 1, with its 95 % interval; `z` counts standard errors.

    `p` is the chance of such a difference or a larger one between models that rank equally well. z and p are
    None where the difference has no spread and is not 0.
    """

    value: float
    low: float
    high: float
    z: float | None
    p: float | None


def compute_delong(labels: np.ndarray, first_probs: np.ndarray, second_probs: np.ndarray) -> Delong:
    """DeLong's test of two models' AUROCs on the same films, which are taken for independent.

    Raises:
        PneumoError: A class has fewer than two films, or an array is not as expected.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; the fast form by midranks is Sun and Xu,
        IEEE Signal Processing Letters 21, 2014.
    """
    for probs in (first_probs, second_probs):
        check_labels_and_probs(labels, probs)
    check_both_classes(labels, "DeLong's test", num_each=2)
    ill = np.asarray(labels) == 1
    first, second = (_count_wins(ill, np.asarray(probs)) for probs in (first_probs, second_probs))
    num_ill, num_well = int(ill.sum()), int((~ill).sum())
    # Differences of midranks are exact multiples of 1/2, so that equal models have a spread of exactly 0.
    over_ill, over_well = second[0] - first[0], second[1] - first[1]
    value = float(over_ill.sum() / (num_ill * num_well))
    variance = over_ill.var(ddof=1) / num_well**2 / num_ill + over_well.var(ddof=1) / num_ill**2 / num_well
    error = float(np.sqrt(variance))
    half = float(norm.ppf(0.975)) * error
    z = value / error if error else (0.0 if value == 0 else None)
    return Delong(value, value - half, value + half, z, None if z is None else float(2 * norm.sf(abs(z))))


def _count_wins(ill: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each ill film the normal films ranked below it, for each normal one the ill above; ties half."""
    ranks = rankdata(probs)
    below = ranks[ill] - rankdata(probs[ill])
    above = ill.sum() - (ranks[~ill] - rankdata(probs[~ill]))
    return below, above


@dataclass(frozen=True)
class Mcnemar:
    """How many films only one of two models calls rightly.

    `p` is the chance of so uneven a split or a more uneven one between models that are right equally often.
    """

    only_first_right: int
    only_second_right: int
    p: float


def compute_mcnemar(labels: np.ndarray, first_called: np.ndarray, second_called: np.ndarray) -> Mcnemar:
    """McNemar's exact test of two models' decisions, bool (N,) each; films are taken for independent.

    Raises:
        PneumoError: An array is not as expected.

    Source:
        McNemar, Psychometrika 12, 1947.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    for called in (first_called, second_called):
        check_labels_and_probs(labels, np.asarray(called, dtype=np.float64))
    ill = np.asarray(labels) == 1
    first, second = (np.asarray(called) == ill for called in (first_called, second_called))
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    p = mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue
    return Mcnemar(only_first, only_second, float(p))


@dataclass(frozen=True)
class Comparison:
    """Two of several models, by name, in one metric.

    Attributes:
        difference: The second model (B) minus the first (A) with its interval, by patient.
        p_holm: Its p after Holm's correction for all pairs.
        film_test: The textbook test, which takes films for independent: DeLong's for auroc, McNemar's for
            accuracy.
        film_p_holm: Its p after the same correction; None where it has none.
        num_pairs: Pairs of models that were compared.
    """

    first: str
    second: str
    difference: Difference
    p_holm: float
    film_test: Delong | Mcnemar
    film_p_holm: float | None
    num_pairs: int

    @property
    def is_real(self) -> bool:
        """Whether chance is unlikely to explain the difference: `p_holm` is below 0.05."""
        return self.p_holm < 0.05

    def describe(self) -> str:
        """The comparison in words: the verdict, then what the textbook test says."""
        better, worse = self.difference.name_better(self.first, self.second)
        pairs = f" for {self.num_pairs} pairs" if self.num_pairs > 1 else ""
        size = self.difference.describe_size(f"; p = {self.p_holm:.2g}{pairs}")
        if self.is_real:
            verdict = f"the difference is real: {better} is better than {worse} {size}."
        elif self.difference.value:
            verdict = f"{better} is ahead of {worse} {size}, which may be chance."
        else:
            verdict = f"{self.first} and {self.second} are level."
        test = "DeLong's" if isinstance(self.film_test, Delong) else "McNemar's"
        outcome = "is undefined" if self.film_p_holm is None else f"gives p = {self.film_p_holm:.2g}{pairs}"
        return f"{self.difference.metric}: {verdict} {test} test, film by film, {outcome}."


def compare_all(
    predictions: dict[str, Predictions], *, thresholds: dict[str, float], num_draws: int = NUM_DRAWS
) -> list[Comparison]:
    """Every pair of models, by name, in ranking (auroc), and then every pair in decisions (accuracy).

    With many pairs some differences look large by chance alone. Holm's correction makes it 5 % likely at
    most that any difference is called real that is not, separately in auroc and in accuracy. At least 100
    draws a pair are made, for p cannot fall below 2 / draws.

    Raises:
        UsageError: There are fewer than two models, or a model has no threshold.
        PneumoError: The films are not the same, are all of one patient, or lack a class.

    Source:
        Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    if len(predictions) < 2 or set(predictions) - set(thresholds):
        raise UsageError(
            f"Got the models {list(predictions)} and thresholds of {list(thresholds)}; expected two or more "
            "models and a threshold for each."
        )
    names, pairs = list(predictions), list(combinations(predictions, 2))
    models, cuts = list(predictions.values()), [thresholds[name] for name in names]
    judged = judge_models(models, cuts, num_draws=max(num_draws, 100 * len(pairs)))
    judged = dict(zip(names, judged, strict=True))
    labels, probs = models[0].labels, {name: predictions[name].probs for name in names}
    called = {name: probs[name] >= thresholds[name] for name in names}
    delong = [compute_delong(labels, probs[a], probs[b]) for a, b in pairs]
    mcnemar = [compute_mcnemar(labels, called[a], called[b]) for a, b in pairs]
    return _correct("auroc", pairs, judged, delong) + _correct("accuracy", pairs, judged, mcnemar)


def _correct(
    metric: str, pairs: list[tuple], judged: dict[str, Judged], film_tests: list
) -> list[Comparison]:
    differences = [compute_difference(judged[a], judged[b], metric) for a, b in pairs]
    ps = compute_holm([difference.p for difference in differences])
    film_ps = compute_holm([test.p for test in film_tests])
    found = zip(pairs, differences, ps, film_tests, film_ps, strict=True)
    return [Comparison(*pair, *rest, num_pairs=len(pairs)) for pair, *rest in found]


def compute_holm(ps: list[float | None]) -> list[float | None]:
    """Holm's correction of p values that answer one question; None, of a test without one, stays None."""
    from statsmodels.stats.multitest import multipletests

    known = [p for p in ps if p is not None]
    corrected = iter(multipletests(known, method="holm")[1]) if known else iter(())
    return [None if p is None else float(next(corrected)) for p in ps]
