"""Models compared on the same images: paired bootstrap by patient, DeLong's and McNemar's tests, Holm."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import norm, rankdata

from pneumo_utils.data.dataset import check_both_classes
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation import metrics
from pneumo_utils.evaluation.metrics import NUM_DRAWS, Predictions


@dataclass(frozen=True)
class Difference:
    """Model B minus model A in one metric, -1 to 1, with its 95 % interval and two-sided p."""

    metric: str
    value: float
    low: float
    high: float
    p: float

    def name_better(self, name_a: str, name_b: str) -> tuple[str, str]:
        """The better model and the worse one."""
        b_is_better = (self.value > 0) != (self.metric in metrics.LOWER_IS_BETTER)
        return (name_b, name_a) if b_is_better else (name_a, name_b)

    def describe_size(self, remark: str = "") -> str:
        """How large it is, as a number above 0, with its interval and a remark behind that."""
        ends = (self.low, self.high) if self.value >= 0 else (-self.high, -self.low)
        low, high = (round(end, 3) + 0.0 for end in ends)  # + 0.0: no "-0.000"
        return f"by {abs(self.value):.3f} (95 % interval {low:+.3f} to {high:+.3f}{remark})"

    def describe(self, name_a: str, name_b: str) -> str:
        """The difference in words; it is clear where the interval leaves out zero."""
        better, worse = self.name_better(name_a, name_b)
        if self.low > 0 or self.high < 0:
            return f"{self.metric}: {better} is better than {worse} {self.describe_size()}."
        return f"{self.metric}: no clear difference; {better} is ahead {self.describe_size()}."


def compare_models(
    first: Predictions, second: Predictions, *, thresholds: tuple[float, float], num_draws: int = NUM_DRAWS
) -> list[Difference]:
    """Paired bootstrap over patients: model B, the second, minus model A in each metric defined for both."""
    one, other = judge_models((first, second), thresholds, num_draws=num_draws)
    return [
        compute_difference(metric, one[metric], other[metric])
        for metric in metrics.METRICS
        if np.isfinite([one[metric][0], other[metric][0]]).all()  # a model that calls none has no precision
    ]


def judge_models(
    models: Iterable[Predictions], thresholds: Iterable[float], *, num_draws: int = NUM_DRAWS
) -> list[dict[str, np.ndarray]]:
    """Each metric of models, float (1 + D,): on the films as they are, and in D draws of patients.

    Films that are not the same in the same order, or all of one patient, are a PneumoError.
    """
    first, *others = models
    for other in others:
        for name in ("names", "labels", "patients"):
            if not np.array_equal(getattr(first, name), getattr(other, name)):
                raise PneumoError(f"The models were judged on different films: {name} differ. Use one split.")
    if first.num_patients < 2:
        raise PneumoError("The films are of one patient; a difference cannot be told from chance.")
    draws = metrics.draw_patient_weights(first.patients, num_draws=num_draws)
    weights = np.vstack([np.ones(len(first)), draws])
    pairs = zip((first, *others), thresholds, strict=True)
    return [metrics.compute_draws(model, weights, threshold=threshold) for model, threshold in pairs]


def compute_difference(metric: str, first: np.ndarray, second: np.ndarray) -> Difference:
    """Model B, the second, minus model A in a metric, from what `judge_models` gives for each.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2: the films as
    they are count as one more draw, which keeps p, twice the share of draws beyond zero, above 0.
    """
    value, draws = second[0] - first[0], second[1:] - first[1:]
    draws = draws[np.isfinite(draws)]
    low, high = np.quantile(draws, [0.025, 0.975])
    tail = (1 + min((draws <= 0).sum(), (draws >= 0).sum())) / (1 + len(draws))
    return Difference(metric, float(value), float(low), float(high), min(1.0, 2 * float(tail)))


def compute_delong(labels: np.ndarray, first_probs: np.ndarray, second_probs: np.ndarray) -> float | None:
    """p of DeLong's test that two models rank equally well; None where a difference has no spread."""
    value, error = estimate_auroc_difference(labels, first_probs, second_probs)
    if error == 0:
        return 1.0 if value == 0 else None
    return float(2 * norm.sf(abs(value) / error))


def estimate_auroc_difference(
    labels: np.ndarray, first_probs: np.ndarray, second_probs: np.ndarray
) -> tuple[float, float]:
    """AUROC of model B, the second, minus that of model A, and its standard error, films independent.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; the fast form by midranks is Sun and Xu,
    IEEE Signal Processing Letters 21, 2014.
    """
    check_both_classes(labels, "DeLong's test", num_each=2)
    ill = labels == 1
    first, second = (_count_wins(ill, probs) for probs in (first_probs, second_probs))
    num_ill, num_well = int(ill.sum()), int((~ill).sum())
    # Differences of midranks are exact multiples of 1/2, so that equal models have a spread of exactly 0.
    over_ill, over_well = second[0] - first[0], second[1] - first[1]
    variance = over_ill.var(ddof=1) / num_well**2 / num_ill + over_well.var(ddof=1) / num_ill**2 / num_well
    return float(over_ill.sum() / (num_ill * num_well)), float(np.sqrt(variance))


def _count_wins(ill: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each ill film the normal films ranked below it, for each normal one the ill above; ties half."""
    ranks = rankdata(probs)
    below = ranks[ill] - rankdata(probs[ill])
    above = ill.sum() - (ranks[~ill] - rankdata(probs[~ill]))
    return below, above


def compute_mcnemar(labels: np.ndarray, first_called: np.ndarray, second_called: np.ndarray) -> float:
    """p of McNemar's exact test that two models, bool (N,) each, are right equally often.

    Films are taken for independent; only those count that one model alone calls rightly.

    Source: McNemar, Psychometrika 12, 1947.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    first, second = first_called == labels, second_called == labels
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return float(mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue)


@dataclass(frozen=True)
class Comparison:
    """Two of several models, by name, in one metric: the second (B) minus the first (A)."""

    first: str
    second: str
    difference: Difference
    p_holm: float  # after Holm's correction for all pairs
    film_p_holm: float | None  # of DeLong's test (auroc) or McNemar's (accuracy), which count films
    num_pairs: int

    @property
    def is_real(self) -> bool:
        """Whether chance is unlikely to explain the difference."""
        return self.p_holm < 0.05

    def describe(self) -> str:
        """The comparison in words: the verdict, then what the textbook test says."""
        better, worse = self.difference.name_better(self.first, self.second)
        pairs = f" for {self.num_pairs} pairs" if self.num_pairs > 1 else ""
        size = self.difference.describe_size(f"; p = {self.p_holm:.2g}{pairs}")
        if self.is_real:
            verdict = f"clear on these films: {better} is better than {worse} {size}."
        elif self.difference.value:
            verdict = f"{better} is ahead of {worse} {size}, which may be chance."
        else:
            verdict = f"{self.first} and {self.second} are level."
        test = "DeLong's" if self.difference.metric == "auroc" else "McNemar's"
        outcome = "is undefined" if self.film_p_holm is None else f"gives p = {self.film_p_holm:.2g}{pairs}"
        return f"{self.difference.metric}: {verdict} {test} test, film by film, {outcome}."


def compare_all(
    predictions: dict[str, Predictions], *, thresholds: dict[str, float], num_draws: int = NUM_DRAWS
) -> list[Comparison]:
    """Every pair of models, by name, in ranking (auroc), and then every pair in decisions (accuracy).

    With many pairs some differences look large by chance alone: after Holm's correction it is 5 % likely at
    most that any is called real that is not, in each metric. At least 100 draws a pair are made, for p
    cannot fall below 2 / draws. Raises as `judge_models`, and a PneumoError where a class has no two films.
    """
    if len(predictions) < 2 or set(predictions) - set(thresholds):
        got = f"Got the models {list(predictions)} and thresholds of {list(thresholds)}"
        raise UsageError(f"{got}; expected two or more models and a threshold for each.")
    pairs, cuts = list(combinations(predictions, 2)), [thresholds[name] for name in predictions]
    judged = judge_models(predictions.values(), cuts, num_draws=max(num_draws, 100 * len(pairs)))
    judged = dict(zip(predictions, judged, strict=True))
    labels, probs = next(iter(predictions.values())).labels, {n: p.probs for n, p in predictions.items()}
    called = {name: probs[name] >= thresholds[name] for name in probs}
    film_ps: dict[str, list[float | None]] = {
        "auroc": [compute_delong(labels, probs[a], probs[b]) for a, b in pairs],
        "accuracy": [compute_mcnemar(labels, called[a], called[b]) for a, b in pairs],
    }
    comparisons = []
    for metric, ps in film_ps.items():
        differences = [compute_difference(metric, judged[a][metric], judged[b][metric]) for a, b in pairs]
        corrected = compute_holm([difference.p for difference in differences])
        found = zip(pairs, differences, corrected, compute_holm(ps), strict=True)
        comparisons += [Comparison(a, b, size, p, film_p, len(pairs)) for (a, b), size, p, film_p in found]
    return comparisons


def compute_holm(ps: list[float | None]) -> list:
    """Holm's correction of p values that answer one question; None, of a test without one, stays None.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    from statsmodels.stats.multitest import multipletests

    known = [p for p in ps if p is not None]
    corrected = iter(multipletests(known, method="holm")[1]) if known else iter(())
    return [None if p is None else float(next(corrected)) for p in ps]
