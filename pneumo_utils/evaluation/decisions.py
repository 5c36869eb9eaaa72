"""What decisions cost: operating points, prevalence, refer band (selective prediction)."""

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.evaluation.metrics import (
    NUM_DRAWS,
    Predictions,
    compute_interval,
    compute_intervals,
    compute_metrics,
    compute_predictive_values,
    draw_patient_weights,
)
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.training.thresholds import ReferBand, choose_operating_points, predict_sets


def find_points(checkpoint: Checkpoint, val: XrayDataset) -> dict[str, float]:
    """The operating points of a model: its own, and rule-in, which no checkpoint holds, by the same rule.

    Args:
        checkpoint: A trained model.
        val: The validation films that its own points were chosen on.

    Returns:
        Thresholds by name, from `choose_operating_points`.
    """
    predict, stressed = make_predict(checkpoint), make_stress_films(val)
    return choose_operating_points(
        val.labels,
        predict(val),
        stress_labels=stressed.labels,
        stress_probs=predict(stressed),
        balanced=checkpoint.threshold,
        screening=checkpoint.screening_threshold,
    )


def judge_points(
    predictions: Predictions, points: dict[str, float], *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict[str, dict]:
    """The figures of a model at each of its operating points.

    Args:
        predictions: Of films that the points were not chosen on.
        points: Thresholds by name, from `find_points`.
        num_draws: Bootstrap draws, 1 or more.
        seed: Of the draws.

    Returns:
        By name: threshold, the figures of `compute_metrics`, and intervals as from `compute_intervals`.
    """
    return {
        name: {
            "threshold": threshold,
            **compute_metrics(predictions.labels, predictions.probs, threshold=threshold),
            "intervals": compute_intervals(predictions, threshold=threshold, num_draws=num_draws, seed=seed),
        }
        for name, threshold in points.items()
    }


def describe_points(judged: dict[str, dict]) -> str:
    """A line for each operating point.

    Args:
        judged: From `judge_points`.
    """
    lines = []
    for name, figures in judged.items():
        shown = ", ".join(_show_share(figures, share) for share in ("sensitivity", "specificity"))
        lines.append(f"{name.replace('_', '-'):<9} at {figures['threshold']:.3f}: {shown}")
    return "\n".join(lines)


def _show_share(figures: dict, name: str) -> str:
    if figures[name] is None:
        return f"{name} undefined"
    low, high = figures["intervals"][name]
    return f"{name} {figures[name]:.1%}" + (f" ({low:.1%} to {high:.1%})" if low is not None else "")


def describe_prevalence(row: dict, *, prevalence: float) -> str:
    """What an answer is worth where pneumonia is as common as stated, in one sentence.

    Args:
        row: With sensitivity and specificity, 0 to 1.
        prevalence: Share of pneumonia among those examined, 0 to 1.
    """
    ppv, npv = compute_predictive_values(row["sensitivity"], row["specificity"], prevalence=prevalence)
    return (
        f"where {prevalence:.0%} are ill, {ppv:.0%} of the alarms and {npv:.1%} of the all-clears are right"
    )


def shift_prior(probs, *, from_prevalence: float, to_prevalence: float):
    """Corrects probabilities for another share of pneumonia among those examined.

    The odds are multiplied by the ratio of the two prior odds. That is right if pneumonia looks the same in
    both places and only its share differs; another hospital, age group or machine breaks this. The ranking
    of the films, and with it the AUROC, stays.

    Args:
        probs: P(pneumonia) in 0 to 1, a number or an array.
        from_prevalence: Share of pneumonia among the films that the probabilities were calibrated on, above
            0 and below 1.
        to_prevalence: The share where the model is to be used, above 0 and below 1.

    Returns:
        Probabilities of the shape given; 0 and 1 stay what they are.

    Raises:
        UsageError: A prevalence is not above 0 and below 1, or a probability is not in 0 to 1.

    Source:
        Saerens, Latinne and Decaestecker, Neural Computation 14, 2002, section 2.2.
    """
    for name, value in (("from_prevalence", from_prevalence), ("to_prevalence", to_prevalence)):
        if not 0 < value < 1:
            raise UsageError(f"{name} is {value}; expected above 0 and below 1.")
    probs = np.asarray(probs, dtype=np.float64)
    if not np.all((probs >= 0) & (probs <= 1)):
        raise UsageError("A probability is outside 0 to 1 or not a number; expected P(pneumonia).")
    ill = probs * (to_prevalence / from_prevalence)
    well = (1 - probs) * ((1 - to_prevalence) / (1 - from_prevalence))
    return ill / (ill + well)


def shift_threshold(threshold: float, *, from_prevalence: float, to_prevalence: float) -> float:
    """Where a threshold on corrected probabilities lies among the uncorrected ones.

    At a prevalence of 10 % a film is to be called pneumonia once its corrected probability is 0.5, say. This
    is the threshold to give to a model that knows nothing of the correction.

    Args:
        threshold: On probabilities at `to_prevalence`, 0 to 1.
        from_prevalence: As for `shift_prior`.
        to_prevalence: As for `shift_prior`.

    Returns:
        The threshold on probabilities at `from_prevalence`; the same films are called pneumonia.

    Raises:
        UsageError: As from `shift_prior`.
    """
    return float(shift_prior(threshold, from_prevalence=to_prevalence, to_prevalence=from_prevalence))


def describe_refer_band(judged: dict) -> str:
    """What a band did, in one sentence.

    Args:
        judged: From `judge_refer_band`.
    """
    wrong = judged["error_among_answered"]
    rest = "none is answered" if wrong is None else f"{wrong:.1%} of the answered are wrong"
    return (
        f"{judged['alpha']:.0%} stated, {1 - judged['coverage']:.1%} lack the truth, "
        f"{judged['share_referred']:.1%} are referred, {rest}"
    )


def judge_refer_band(
    band: ReferBand, predictions: Predictions, *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict:
    """What the band does to films that it was not fitted on.

    Args:
        band: From `fit_refer_band`.
        predictions: Of N films.
        num_draws: Bootstrap draws of patients, 1 or more.
        seed: Of the draws.

    Returns:
        n, alpha, by_class, limits; as shares, 0 to 1 or None where no film counts: coverage (the set has the
        true class) of all films and of each class, share_referred and its parts share_both and share_none,
        error_among_answered; and intervals, 95 % by patient, of these.
    """
    sets, labels = predict_sets(band, predictions.probs), np.asarray(predictions.labels)
    sizes, covered = sets.sum(1), sets[np.arange(len(labels)), labels]
    every, answered = np.ones(len(labels), dtype=bool), sizes == 1
    shares = {
        "coverage": (covered, every),
        **{f"coverage_{name.lower()}": (covered, labels == i) for i, name in enumerate(CLASS_NAMES)},
        "share_referred": (~answered, every),
        "share_both": (sizes == 2, every),
        "share_none": (sizes == 0, every),
        "error_among_answered": (~covered, answered),
    }
    weights = draw_patient_weights(predictions.patients, num_draws=num_draws, seed=seed)
    weights = weights[: num_draws * (predictions.num_patients > 1)]  # one patient tells nothing of others
    with np.errstate(invalid="ignore"):
        draws = {name: weights @ (hit & of) / (weights @ of) for name, (hit, of) in shares.items()}
    return {
        "n": len(labels),
        "alpha": band.alpha,
        "by_class": band.by_class,
        "limits": band.limits,
        **{name: float(hit[of].mean()) if of.any() else None for name, (hit, of) in shares.items()},
        "intervals": {name: compute_interval(values) for name, values in draws.items()},
    }


STEP = 0.005


def describe_threshold(predictions: Predictions, threshold: float) -> str:
    """What a threshold does to these films, in one sentence.

    Args:
        predictions: Of N films.
        threshold: Call it pneumonia when prob >= threshold, 0 to 1.
    """
    figures = compute_metrics(predictions.labels, predictions.probs, threshold=threshold)
    c = figures["confusion"]
    return (
        f"At {threshold:.3f}: {c['tp']} of {c['tp'] + c['fn']} ill found, {c['fn']} missed; "
        f"{c['fp']} of {c['tn'] + c['fp']} well alarmed; {figures['accuracy']:.1%} right."
    )


def build_threshold_explorer(models: dict[str, Predictions], *, threshold: float):
    """A slider, and below it a line for each model that follows it.

    It is made to show what a threshold costs. A threshold that was picked on the films that it is judged on
    flatters the model.

    Args:
        models: Predictions by model name, one or more.
        threshold: Where the slider starts, 0 to 1.

    Returns:
        An ipywidgets box of the slider and one HTML line a model, to be displayed.
    """
    import ipywidgets as widgets

    slider = widgets.FloatSlider(
        value=threshold,
        min=0,
        max=1,
        step=STEP,
        description="threshold",
        readout_format=".3f",
        layout=widgets.Layout(width="30em"),
    )
    lines = {name: widgets.HTML() for name in models}

    def update(_change=None) -> None:
        for name, line in lines.items():
            line.value = f"<b>{name}</b> {describe_threshold(models[name], slider.value)}"

    slider.observe(update, names="value")
    update()
    return widgets.VBox([slider, *lines.values()])
