"""Several models on the same films, pair by pair: which differences are real?

The verdict is the bootstrap by patient of `comparison`, corrected for the number of pairs. DeLong's and
McNemar's tests stand beside it; they take films for independent, which films of one patient are not.
"""

from dataclasses import dataclass
from itertools import combinations

from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.bootstrap import NUM_DRAWS
from pneumo_utils.evaluation.comparison import Difference, compute_difference, judge_models
from pneumo_utils.evaluation.paired_tests import Delong, Mcnemar, compute_delong, compute_mcnemar
from pneumo_utils.evaluation.predictions import Predictions

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
