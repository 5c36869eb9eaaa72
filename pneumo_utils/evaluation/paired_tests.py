"""Two textbook tests for two models on the same films, and the sizes of their effects.

Both take films for independent. Films of one patient are not, so that with several films a patient the p
values come out too small and the intervals too narrow. They are there to be compared with other papers; the
verdict of this package is the bootstrap by patient in `comparison`.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from pneumo_utils.evaluation.predictions import check_both_classes, check_labels_and_probs


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
