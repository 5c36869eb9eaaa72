"""Two or more models on the same films: paired bootstrap, DeLong, McNemar, Holm."""

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


@dataclass(frozen=True)
class Delong:
    """AUROC of model B minus that of model A.

    Attributes:
        value: B minus A, -1 to 1.
        low: Lower end of the 95 % interval.
        high: Upper end.
        z: The difference in standard errors; None where it has no spread and is not 0.
        p: Chance of such a difference or a larger one between models that rank equally well, 0 to 1; None
            where z is.
    """

    value: float
    low: float
    high: float
    z: float | None
    p: float | None


def compute_delong(labels: np.ndarray, first_probs: np.ndarray, second_probs: np.ndarray) -> Delong:
    """DeLong's test for two correlated AUROCs; films are taken for independent.

    Args:
        labels: int (N,), 0 or 1, two or more of each.
        first_probs: float (N,), model A's P(pneumonia) in 0 to 1.
        second_probs: float (N,), model B's, of the same films.

    Returns:
        B minus A.

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
    """Where two models' decisions part.

    Attributes:
        only_first_right: Films that only model A calls rightly.
        only_second_right: Films that only model B calls rightly.
        p: Chance of so uneven a split or a more uneven one between models that are right equally often, 0 to
            1; 1 where the decisions never part.
        odds_ratio: only_second_right / only_first_right; None where the latter is 0.
        odds_low: Lower end of its exact 95 % interval; None where the decisions never part.
        odds_high: Upper end; None where it is infinite or the decisions never part.
        cohens_g: Share of only_second_right among films where decisions part, less 1/2: -0.5 to 0.5; 0.05,
            0.15 and 0.25 count as small, medium and large. None where the decisions never part.
    """

    only_first_right: int
    only_second_right: int
    p: float
    odds_ratio: float | None
    odds_low: float | None
    odds_high: float | None
    cohens_g: float | None


def compute_mcnemar(labels: np.ndarray, first_called: np.ndarray, second_called: np.ndarray) -> Mcnemar:
    """McNemar's exact test of two models' decisions; films are taken for independent.

    Args:
        labels: int (N,), 0 or 1.
        first_called: bool (N,), whether model A calls a film pneumonia at its threshold.
        second_called: bool (N,), model B, of the same films.

    Returns:
        The test and its effect sizes.

    Raises:
        PneumoError: An array is not as expected.

    Source:
        McNemar, Psychometrika 12, 1947; Cohen, Statistical Power Analysis, 2nd edition 1988, chapter 5 (g).
    """
    from statsmodels.stats.contingency_tables import mcnemar
    from statsmodels.stats.proportion import proportion_confint

    for called in (first_called, second_called):
        check_labels_and_probs(labels, np.asarray(called, dtype=np.float64))
    ill = np.asarray(labels) == 1
    first, second = (np.asarray(called) == ill for called in (first_called, second_called))
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    apart = only_first + only_second
    if not apart:
        return Mcnemar(0, 0, 1.0, None, None, None, None)
    p = mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue
    low, high = proportion_confint(only_second, apart, method="beta")
    return Mcnemar(
        only_first,
        only_second,
        float(p),
        only_second / only_first if only_first else None,
        float(low / (1 - low)),
        float(high / (1 - high)) if only_first else None,
        only_second / apart - 0.5,
    )


ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """Two of several models, in one figure.

    Attributes:
        first: Name of model A.
        second: Name of model B.
        difference: B minus A with its interval, by patient.
        p_holm: The p of the difference after Holm's correction for all pairs.
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
        """Whether chance is an unlikely reason for the difference: `p_holm` is below 0.05."""
        return self.p_holm < ALPHA

    def describe(self) -> str:
        """The comparison in words: the verdict, then what the textbook test says."""
        found, (better, worse) = self.difference, self.difference.name_better(self.first, self.second)
        pairs = f" for {self.num_pairs} pairs" if self.num_pairs > 1 else ""
        size = f"by {abs(found.value):.3f} (95 % interval of the difference {found.low:+.3f} to "
        size += f"{found.high:+.3f}; p = {self.p_holm:.2g}{pairs})"
        if self.is_real:
            verdict = f"the difference is real: {better} is better than {worse} {size}."
        elif found.value:
            verdict = f"{better} is ahead of {worse} {size}, which may be chance."
        else:
            verdict = f"{self.first} and {self.second} are level."
        test = "DeLong's" if isinstance(self.film_test, Delong) else "McNemar's"
        outcome = "is undefined" if self.film_p_holm is None else f"gives p = {self.film_p_holm:.2g}{pairs}"
        return f"{found.metric}: {verdict} {test} test, film by film, {outcome}."


def compare_all(
    predictions: dict[str, Predictions],
    *,
    thresholds: dict[str, float],
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> list[Comparison]:
    """Every pair of models, in ranking (auroc) and in decisions (accuracy).

    With many pairs some differences look large by chance alone. Holm's correction makes it 5 % likely at
    most that any difference is called real that is not, separately in auroc and in accuracy.

    Args:
        predictions: By model name, two or more, on the same films of both classes in the same order.
        thresholds: By model name.
        num_draws: Bootstrap draws; 100 a pair are made where that is more, for p cannot fall below 2 / draws.
        seed: Of the draws.

    Returns:
        A row for each pair in auroc, then in accuracy, in the order of the models.

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
    pairs, ordered = list(combinations(predictions, 2)), [thresholds[name] for name in predictions]
    num_draws = max(num_draws, 100 * len(pairs))
    judged = judge_models(list(predictions.values()), ordered, num_draws=num_draws, seed=seed)
    judged = dict(zip(predictions, judged, strict=True))
    rows = []
    for metric, run_test in (("auroc", _run_delong), ("accuracy", _run_mcnemar)):
        tests = [run_test(predictions, thresholds, pair) for pair in pairs]
        differences = [compute_difference(judged[first], judged[second], metric) for first, second in pairs]
        corrected = compute_holm([difference.p for difference in differences])
        film_corrected = compute_holm([test.p for test in tests])
        found = zip(pairs, differences, corrected, tests, film_corrected, strict=True)
        rows += [Comparison(*pair, *rest, num_pairs=len(pairs)) for pair, *rest in found]
    return rows


def _run_delong(predictions, thresholds, pair) -> Delong:
    first, second = (predictions[name] for name in pair)
    return compute_delong(first.labels, first.probs, second.probs)


def _run_mcnemar(predictions, thresholds, pair) -> Mcnemar:
    first, second = (predictions[name].probs >= thresholds[name] for name in pair)
    return compute_mcnemar(predictions[pair[0]].labels, first, second)


def compute_holm(ps: list[float | None]) -> list[float | None]:
    """Holm's step-down correction of p values that answer one question.

    Args:
        ps: Each 0 to 1; None where a test has none, which then does not count.

    Returns:
        The corrected ones in the same order, 0 to 1 or None.
    """
    from statsmodels.stats.multitest import multipletests

    known = [p for p in ps if p is not None]
    corrected = iter(multipletests(known, method="holm")[1]) if known else iter(())
    return [None if p is None else float(next(corrected)) for p in ps]
