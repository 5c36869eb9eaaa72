"""What decisions cost: operating points, selective prediction (refer band), any threshold."""

import numpy as np

from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation import metrics
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.evaluation.metrics import NUM_DRAWS, Predictions
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


def describe_threshold(predictions: Predictions, threshold: float) -> str:
    """What a threshold does to these films, in one sentence."""
    row = metrics.compute_metrics(predictions.labels, predictions.probs, threshold=threshold)
    c = row["confusion"]
    found = f"finds {c['tp']} of {c['tp'] + c['fn']} with pneumonia, misses {c['fn']}"
    alarms = f"alarms on {c['fp']} of {c['tn'] + c['fp']} without"
    return f"At {threshold:.3f} it {found}; {alarms}; {row['accuracy']:.1%} right."


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
