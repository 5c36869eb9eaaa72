"""What decisions cost: operating points, prevalence, selective prediction (refer band), any threshold."""

import numpy as np

from pneumo_utils.config import expect
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation import metrics
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.evaluation.metrics import NUM_DRAWS, Predictions
from pneumo_utils.evaluation.results import format_share
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.training.thresholds import ReferBand, choose_operating_points, predict_sets


def find_points(checkpoint: Checkpoint, val: XrayDataset) -> dict[str, float]:
    """Thresholds by name: a checkpoint's own, and rule-in, from the validation films of its own."""
    predict, stressed = make_predict(checkpoint), make_stress_films(val)
    return choose_operating_points(
        val.labels,
        predict(val),
        stress_labels=stressed.labels,
        stress_probs=predict(stressed),
        balanced=checkpoint.threshold,
        screening=checkpoint.screening_threshold,
    )


def judge_points(predictions: Predictions, points: dict[str, float]) -> dict[str, dict]:
    """`judge_predictions` at each operating point, a threshold by name, that was chosen on other films."""
    return {name: metrics.judge_predictions(predictions, threshold=point) for name, point in points.items()}


def describe_points(judged: dict[str, dict]) -> str:
    """A line for each operating point, from `judge_points`."""
    lines, names = [], ("sensitivity", "specificity")
    for point, row in judged.items():
        shares = [f"{name} {format_share(row, name, percent=True)}" for name in names]
        lines.append(f"{point.replace('_', '-'):<9} at {row['threshold']:.3f}: {', '.join(shares)}")
    return "\n".join(lines)


def describe_prevalence(row: dict, *, prevalence: float) -> str:
    """What an answer is worth at a share of pneumonia of 0 to 1, in one sentence."""
    shares = row["sensitivity"], row["specificity"]
    ppv, npv = metrics.compute_predictive_values(*shares, prevalence=prevalence)
    worth = f"{ppv:.0%} of the alarms and {npv:.1%} of the all-clears are right"
    return f"where {prevalence:.0%} are ill, {worth}"


def shift_prior(probs, *, from_prevalence: float, to_prevalence: float):
    """Corrects P(pneumonia), a number or an array, for another share of the ill (prior shift).

    The odds are multiplied by the ratio of the two prior odds: right if pneumonia looks the same in both
    places and only its share differs. The ranking of the films, and with it the AUROC, stays.

    Source: Saerens, Latinne and Decaestecker, Neural Computation 14, 2002, section 2.2.
    """
    for name, value in (("from_prevalence", from_prevalence), ("to_prevalence", to_prevalence)):
        expect(0 < value < 1, name, value, "above 0 and below 1")
    probs = np.asarray(probs, dtype=np.float64)
    if not np.all((probs >= 0) & (probs <= 1)):
        raise UsageError("A probability is outside 0 to 1 or not a number; expected P(pneumonia).")
    ill = probs * (to_prevalence / from_prevalence)
    well = (1 - probs) * ((1 - to_prevalence) / (1 - from_prevalence))
    return ill / (ill + well)


def judge_refer_band(band: ReferBand, predictions: Predictions, *, num_draws: int = NUM_DRAWS) -> dict:
    """What selective prediction (a refer band) does to films that it was not fitted on.

    Returns alpha; as shares, 0 to 1 or None where no film counts: coverage (the set has the true class),
    share_referred and error_among_answered; and the 95 % intervals of these, by patient.
    """
    sets, labels = predict_sets(band, predictions.probs), np.asarray(predictions.labels)
    covered, answered = sets[np.arange(len(labels)), labels], sets.sum(1) == 1
    every = np.ones(len(labels), dtype=bool)
    counted_among = {
        "coverage": (covered, every),
        "share_referred": (~answered, every),
        "error_among_answered": (~covered, answered),
    }
    weights = metrics.draw_patient_weights(predictions.patients, num_draws=num_draws)
    shares, intervals = {}, {}
    for name, (counted, among) in counted_among.items():
        shares[name] = float(counted[among].mean()) if among.any() else None
        with np.errstate(invalid="ignore"):
            intervals[name] = metrics.compute_interval(weights @ (counted & among) / (weights @ among))
    return {"alpha": band.alpha, **shares, "intervals": intervals}


def describe_refer_band(judged: dict) -> str:
    """What a band did, from `judge_refer_band`, in one sentence."""
    wrong = judged["error_among_answered"]
    rest = "none is answered" if wrong is None else f"{wrong:.1%} of the answered are wrong"
    lack, referred = 1 - judged["coverage"], judged["share_referred"]
    return f"{judged['alpha']:.0%} stated, {lack:.1%} lack the truth, {referred:.1%} are referred, {rest}"


def describe_threshold(predictions: Predictions, threshold: float) -> str:
    """What a threshold does to these films, in one sentence."""
    row = metrics.compute_metrics(predictions.labels, predictions.probs, threshold=threshold)
    c = row["confusion"]
    found = f"{c['tp']} of {c['tp'] + c['fn']} ill found, {c['fn']} missed"
    alarmed = f"{c['fp']} of {c['tn'] + c['fp']} well alarmed"
    return f"At {threshold:.3f}: {found}; {alarmed}; {row['accuracy']:.1%} right."


def build_threshold_explorer(models: dict[str, Predictions], *, threshold: float):
    """An ipywidgets box: a slider, and below it a line for each model, by name, that follows it.

    It shows what a threshold costs; one that was picked on the films it is judged on flatters the model.
    """
    import ipywidgets as widgets

    look = {"description": "threshold", "readout_format": ".3f", "layout": widgets.Layout(width="30em")}
    slider = widgets.FloatSlider(threshold, min=0, max=1, step=0.005, **look)
    lines = {name: widgets.HTML() for name in models}

    def update(_change=None) -> None:
        for name, line in lines.items():
            line.value = f"<b>{name}</b> {describe_threshold(models[name], slider.value)}"

    slider.observe(update, names="value")
    update()
    return widgets.VBox([slider, *lines.values()])
