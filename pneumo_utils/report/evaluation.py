"""One page about a model on a split: numbers and figures; the words stand in `templates/evaluation.html`."""

import numpy as np
from matplotlib.figure import Figure

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation.compare import compare_all
from pneumo_utils.evaluation.curves import compute_chance_ece
from pneumo_utils.evaluation.decisions import judge_points, judge_refer_band
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.evaluation.metrics import (
    METRICS,
    Predictions,
    choose_worst,
    compute_draws,
    compute_interval,
    compute_metrics,
    compute_predictive_values,
    draw_patient_weights,
)
from pneumo_utils.evaluation.results import describe_data, format_interval
from pneumo_utils.evaluation.robustness import compute_corruption_curves
from pneumo_utils.evaluation.saliency import (
    compute_coverage,
    compute_even_share,
    compute_lung_share,
    compute_randomisation_check,
    compute_saliency,
)
from pneumo_utils.evaluation.subgroups import compute_subgroups, describe_subgroups
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.plots import evaluation as plots
from pneumo_utils.plots.films import plot_lung_share, show_saliency
from pneumo_utils.report.html import render
from pneumo_utils.training.thresholds import fit_refer_band

PREVALENCES = (0.02, 0.1, 0.3)  # a check-up, a children's ward, a clinic for coughs, say
ERROR_RATES = (0.01, 0.05, 0.1)  # stated, of the refer bands
SHARES = ("sensitivity", "specificity", "accuracy")
BAND_SHARES = ("coverage", "share_referred", "error_among_answered")
NUM_WORST = 8
NUM_CHECKED = 64  # films of the randomisation check, evenly picked: its result is a median


def build_report(
    checkpoint: Checkpoint,
    dataset: XrayDataset,
    row: dict,
    predictions: Predictions,
    *,
    validation: Predictions | None = None,
    points: dict[str, float] | None = None,
    rivals: dict[str, tuple[Predictions, float]] | None = None,
    warnings: dict[str, str] | None = None,
) -> str:
    """The page as HTML, with all its pictures inside it.

    Args:
        row, predictions: What `evaluate` says of the model on these films.
        validation, points: What it says of the validation films of its training set, and `find_points`; None
            where these films are not at hand or are the ones that are judged.
        rivals: Other models' predictions for the same films and their thresholds, by name.
        warnings: What the guard says of the films, by name.
    """
    models, thresholds = {checkpoint.model_name: predictions}, {checkpoint.model_name: row["threshold"]}
    for name, (said, threshold) in (rivals or {}).items():
        models[name], thresholds[name] = said, threshold
    return render(
        "evaluation.html",
        title=f"Evaluation: {row['model']} on {describe_data(row)}, {row['split']} split",
        subtitle=f"{row['n']} films of {predictions.num_patients} patients.",
        checkpoint=checkpoint,
        row=row,
        counts=dataset.class_counts(),
        num_patients=predictions.num_patients,
        warnings=None if warnings is None else [f"{name}: {text}" for name, text in warnings.items()],
        rivals=rivals,
        **build_metric_sections(row, models, thresholds=thresholds, synthetic=dataset.is_synthetic),
        **build_decision_sections(row, predictions, validation=validation, points=points),
        **build_error_sections(checkpoint, dataset, row, predictions),
        **build_robustness_sections(checkpoint, dataset, row),
    )


def build_metric_sections(
    row: dict, models: dict[str, Predictions], *, thresholds: dict[str, float], synthetic: bool
) -> dict:
    """Every figure, the curves, and the differences from other models; the first model is the one judged."""
    predictions, threshold, mark = next(iter(models.values())), row["threshold"], {"synthetic": synthetic}
    values = {
        "figures": list_figures(row),
        "chance_ece": compute_chance_ece(predictions),
        "confusion": plots.plot_confusion(predictions, threshold=threshold, title="Confusion matrix", **mark),
        "probs": plots.plot_probs(predictions, threshold=threshold, title="Probabilities", **mark),
        "curves": None,
        "comparison": None,
    }
    if len(set(predictions.labels)) == 2 and predictions.num_patients > 1:
        values["curves"] = {
            "roc": plots.plot_roc(models, thresholds=thresholds, title="ROC", **mark),
            "precision_recall": plots.plot_precision_recall(models, title="Precision and recall", **mark),
            "reliability": plots.plot_reliability(models, title="Reliability", **mark),
            "decision": plots.plot_decision_curve(models, title="Decision curve", **mark),
        }
        if len(models) > 1:
            pairs = compare_all(models, thresholds=thresholds)
            figure = plots.plot_comparisons(pairs, title="Differences of models", **mark)
            values["comparison"] = {"figure": figure, "sentences": [pair.describe() for pair in pairs]}
    return values


def list_figures(row: dict) -> list[list[str]]:
    """Every figure with its interval; the reason where one is undefined."""
    rows = []
    for name in METRICS:
        reason = f": {row['undefined'][name]}" if row[name] is None else ""
        rows.append([name, format_interval(row[name], row["intervals"][name]) + reason])
    return rows


def build_decision_sections(
    row: dict, predictions: Predictions, *, validation: Predictions | None, points: dict[str, float] | None
) -> dict:
    """What is decided at a threshold, at operating points and with refer bands, and what it is worth."""
    return {
        "predictive_values": list_predictive_values(row, predictions),
        "points": list_points(predictions, points) if points is not None else None,
        "refer_bands": list_refer_bands(predictions, validation) if validation is not None else None,
        "every_threshold": list_thresholds(predictions, row["threshold"]),
    }


def list_predictive_values(row: dict, predictions: Predictions) -> list[list[str]]:
    """What an answer is worth where pneumonia is rarer or more common; nothing where a class has no film."""
    if row["sensitivity"] is None or row["specificity"] is None:
        return []
    weights = draw_patient_weights(predictions.patients)
    draws = compute_draws(predictions, weights, threshold=row["threshold"])
    own = float(np.mean(predictions.labels))
    rows = []
    for prevalence in (*PREVALENCES, own):
        values = compute_predictive_values(row["sensitivity"], row["specificity"], prevalence=prevalence)
        drawn = compute_predictive_values(draws["sensitivity"], draws["specificity"], prevalence=prevalence)
        cells = []
        for value, column in zip(values, drawn, strict=True):
            # One patient tells nothing of others.
            interval = compute_interval(column) if predictions.num_patients > 1 else None
            cells.append(format_interval(value, interval))
        rows.append([f"{prevalence:.1%}" + (" (these films)" if prevalence == own else ""), *cells])
    return rows


def list_points(predictions: Predictions, points: dict[str, float]) -> list[list[str]]:
    """What each operating point does on these films."""
    rows = []
    for name, judged in judge_points(predictions, points).items():
        cells = [format_interval(judged[share], judged["intervals"][share]) for share in SHARES]
        rows.append([name.replace("_", "-"), f"{judged['threshold']:.3f}", *cells])
    return rows


def list_refer_bands(predictions: Predictions, validation: Predictions) -> list[list[str]]:
    """What is referred to a person at stated error rates, and what is wrong among the rest."""
    rows = []
    for alpha in ERROR_RATES:
        band = fit_refer_band(validation.labels, validation.probs, alpha=alpha)
        for place, films in (("validation", validation), ("these films", predictions)):
            judged = judge_refer_band(band, films)
            ends = judged["intervals"]
            cells = [format_interval(judged[name], ends[name], percent=True) for name in BAND_SHARES]
            rows.append([f"{alpha:.0%}, {place}", *cells])
    return rows


def list_thresholds(predictions: Predictions, own: float) -> list[list]:
    """What every threshold would do to these films; `own` is the model's."""
    rows = []
    for threshold in sorted({*(i / 20 for i in range(1, 20)), own}):
        figures = compute_metrics(predictions.labels, predictions.probs, threshold=threshold)
        shares = [format_interval(figures[share], None) for share in SHARES]
        name = f"{threshold:.3f}" + (" (the model's)" if threshold == own else "")
        rows.append([name, *shares, figures["confusion"]["fn"], figures["confusion"]["fp"]])
    return rows


def build_error_sections(
    checkpoint: Checkpoint, dataset: XrayDataset, row: dict, predictions: Predictions
) -> dict:
    """The worst errors, parts of the films, and what the model looks at, from its saliency maps."""
    reading = {"transform": checkpoint.transform, "flip_average": checkpoint.flip_average}
    mark = {"synthetic": dataset.is_synthetic}
    maps = compute_saliency(checkpoint.build_model(), dataset.images, **reading)
    worst = choose_worst(predictions, threshold=row["threshold"], count=NUM_WORST)
    titles = [f"{CLASS_NAMES[predictions.labels[i]]}, prob {predictions.probs[i]:.2f}" for i in worst]
    parts = compute_subgroups(predictions, dataset, threshold=row["threshold"])
    return {
        "worst": show_saliency(dataset, worst, maps[worst], titles=titles) if len(worst) else None,
        "worst_names": predictions.names[worst],
        "subgroups": plots.plot_subgroups(parts, title="Parts of these films", **mark),
        "subgroup_sentences": describe_subgroups(parts),
        "lung_share": draw_lung_share(dataset, maps),
        "check": check_maps(checkpoint, dataset.images, **reading),
    }


def check_maps(checkpoint: Checkpoint, images: np.ndarray, **reading) -> dict | None:
    """How alike the maps are to those of random weights; None where nothing speaks for pneumonia in any."""
    chosen = np.unique(np.linspace(0, len(images) - 1, NUM_CHECKED).astype(int))
    check = compute_randomisation_check(checkpoint.build_model(), images[chosen], **reading)
    if np.isnan(check.median):
        return None
    draws = check.draw_medians
    ends = {"low": np.nanmin(draws), "high": np.nanmax(draws)}
    return {"median": check.median, **ends, "num_draws": len(draws), "num_films": len(chosen)}


def draw_lung_share(dataset: XrayDataset, maps: np.ndarray) -> Figure:
    """How much of the saliency lies inside the lungs, by class."""
    shares = compute_lung_share(maps)
    present = np.unique(dataset.labels)
    return plot_lung_share(
        {CLASS_NAMES[label]: shares[dataset.labels == label] for label in present},
        even_share=compute_even_share(dataset.image_size),
        title="Saliency inside the lungs",
        synthetic=dataset.is_synthetic,
    )


def build_robustness_sections(checkpoint: Checkpoint, dataset: XrayDataset, row: dict) -> dict:
    """Films that get worse in nine ways, and films with lungs or all else covered; needs both classes."""
    if row["auroc"] is None:
        return {"corruptions": None, "coverage": None}
    predict, mark = make_predict(checkpoint), {"synthetic": dataset.is_synthetic}
    found = compute_corruption_curves(predict, dataset, threshold=row["threshold"])
    curves = {checkpoint.model_name: found}
    losses = {name: rows[0]["auroc"] - rows[-1]["auroc"] for name, rows in found.items()}
    worst = max(losses, key=losses.get)
    plot = plots.plot_corruption_curves
    corruptions = {
        "ranking": plot(curves, title="Worse films: ranking", **mark),
        "decisions": plot(curves, title="Worse films: decisions", metric="specificity", **mark),
        "examples": plots.plot_corruptions(dataset, 0),
        "worst": worst,
        "loss": losses[worst],
    }
    return {"corruptions": corruptions, "coverage": compute_coverage(predict, dataset)}
