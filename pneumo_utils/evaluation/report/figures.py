"""Sections of the report that ask how good the figures are, and how sure."""

import numpy as np

from pneumo_utils.evaluation.bootstrap import compute_draws, compute_interval, draw_patient_weights
from pneumo_utils.evaluation.metrics import METRICS, compute_metrics, compute_predictive_values
from pneumo_utils.evaluation.pairwise import compare_all
from pneumo_utils.evaluation.plots import curves, judging
from pneumo_utils.evaluation.reliability import compute_chance_ece
from pneumo_utils.evaluation.report.material import Material
from pneumo_utils.page import parts

PREVALENCES = (0.02, 0.1, 0.3)
"""Shares of pneumonia among those examined: a check-up, a children's ward, a clinic for coughs, say."""


def build_figures(material: Material) -> str:
    """Every figure with its interval; the reason where one is undefined."""
    row, rows = material.row, []
    for name in METRICS:
        if row[name] is None:
            rows.append([name, "undefined", row["undefined"][name]])
        else:
            rows.append([name, f"{row[name]:.3f}", format_interval(row["intervals"][name])])
    chance, threshold = compute_chance_ece(material.predictions), row["threshold"]
    settings = {"threshold": threshold, **material.mark}
    confusion = judging.plot_confusion(material.predictions, title="Confusion matrix", **settings)
    probs = judging.plot_probs(material.predictions, title="Probabilities", **settings)
    pictures = [
        parts.make_figure(confusion, "Counts, and shares of the films with that label."),
        parts.make_figure(probs, "How the probabilities are spread in each class."),
    ]
    return (
        parts.make_table(["figure", "value", "95 % interval, by patient"], rows)
        + parts.make_note(
            f"At the threshold {threshold:.3f}, which was chosen on validation films. The intervals come "
            "from drawing the patients again 2,000 times; they hold the trained model fixed. Perfect "
            f"probabilities would show an ece of about {chance:.3f} on as many films."
        )
        + parts.make_row(pictures, kind="wider")
    )


def format_interval(interval: tuple[float | None, float | None]) -> str:
    """`0.912 to 0.948`, or that there is none."""
    low, high = interval
    return "no interval" if low is None else f"{low:.3f} to {high:.3f}"


def build_predictive_values(material: Material) -> str:
    """What an answer is worth where pneumonia is rarer or more common."""
    row, predictions = material.row, material.predictions
    if row["sensitivity"] is None or row["specificity"] is None:
        return parts.make_note("Undefined: a class has no film.")
    weights = draw_patient_weights(predictions.patients)
    draws = compute_draws(predictions, weights, threshold=row["threshold"])
    own = float(np.mean(predictions.labels))
    rows = []
    for prevalence in (*PREVALENCES, own):
        values = compute_predictive_values(row["sensitivity"], row["specificity"], prevalence=prevalence)
        drawn = compute_predictive_values(draws["sensitivity"], draws["specificity"], prevalence=prevalence)
        known = predictions.num_patients > 1  # one patient tells nothing of others
        intervals = [compute_interval(column) if known else (None, None) for column in drawn]
        cells = [
            f"{value:.3f} ({format_interval(interval)})"
            for value, interval in zip(values, intervals, strict=True)
        ]
        rows.append([f"{prevalence:.1%}" + " (these films)" * (prevalence == own), *cells])
    head = ["share of pneumonia", "PPV: ill if called ill", "NPV: well if called well"]
    return parts.make_table(head, rows) + parts.make_note(
        "Bayes' rule on sensitivity and specificity. It assumes that pneumonia looks the same in both places "
        "and only its share differs; another hospital or age group breaks that."
    )


def build_curves(material: Material) -> str:
    """ROC, precision and recall, reliability, decision curve."""
    if len(set(material.predictions.labels)) < 2 or material.predictions.num_patients < 2:
        return parts.make_note("Undefined: the curves need films of both classes and of several patients.")
    models, thresholds = material.models, material.thresholds
    shown = {
        "Bands hold 95 % of the draws at each place, patient by patient.": curves.plot_roc(
            models, thresholds=thresholds, title="ROC", **material.mark
        ),
        "The same for precision and recall; the dotted line is the share of pneumonia.": (
            curves.plot_precision_recall(models, title="Precision and recall", **material.mark)
        ),
        "Are probabilities to be taken at their word? Each dot has a fifteenth of the films.": (
            curves.plot_reliability(models, title="Reliability", **material.mark)
        ),
        "Is acting on the model better than treating all or none?": curves.plot_decision_curve(
            models, title="Decision curve", **material.mark
        ),
    }
    return parts.make_row([parts.make_figure(f, caption) for caption, f in shown.items()], kind="wider")


def build_thresholds(material: Material) -> str:
    """What every threshold would do to these films, and why none of them is chosen here."""
    labels, probs = material.predictions.labels, material.predictions.probs
    rows = []
    for threshold in sorted({*(i / 20 for i in range(1, 20)), material.row["threshold"]}):
        figures = compute_metrics(labels, probs, threshold=threshold)
        counts = figures["confusion"]
        mark = " (the model's)" if threshold == material.row["threshold"] else ""
        cells = [
            "undefined" if figures[name] is None else f"{figures[name]:.3f}"
            for name in ("sensitivity", "specificity", "accuracy")
        ]
        rows.append([f"{threshold:.3f}{mark}", *cells, counts["fn"], counts["fp"]])
    head = ["threshold", "sensitivity", "specificity", "accuracy", "missed", "false alarms"]
    return parts.make_table(head, rows) + parts.make_note(
        "To read what a threshold costs, not to pick one: a threshold picked on the films that it is judged "
        "on flatters the model."
    )


def build_comparison(material: Material) -> str:
    """Which differences from other models are real."""
    if len(material.models) < 2:
        return ""
    if len(set(material.predictions.labels)) < 2 or material.predictions.num_patients < 2:
        return parts.make_note("Undefined: a comparison needs films of both classes and of several patients.")
    rows = compare_all(material.models, thresholds=material.thresholds)
    sentences = "".join(parts.make_paragraph(row.describe()) for row in rows)
    figure = curves.plot_comparisons(rows, title="Differences of models", **material.mark)
    return sentences + parts.make_figure(figure, "Filled dots: real after Holm's correction for all pairs.")
