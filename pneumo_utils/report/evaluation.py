"""One page about a model on a split: numbers and figures; the words stand in `templates/evaluation.html`."""

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation import compare, curves, decisions, metrics, robustness, saliency, subgroups
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.evaluation.metrics import Predictions
from pneumo_utils.evaluation.results import describe_data, format_interval
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.plots import evaluation as plots
from pneumo_utils.plots.films import show_saliency
from pneumo_utils.report.html import render
from pneumo_utils.training.thresholds import fit_refer_band

PREVALENCES = (0.02, 0.1, 0.3)  # a check-up, a children's ward, a clinic for coughs, say
ERROR_RATES = (0.01, 0.05, 0.1)  # stated, of the refer bands
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
        row, predictions: From `evaluate`, of these films.
        validation, points: Of the validation films, from `evaluate` and `find_points`; None where they are
            not at hand or are the ones that are judged.
        rivals: Other models' predictions for the same films and their thresholds, by name.
        warnings: What the guard says of the films, by name.
    """
    judged = {checkpoint.model_name: (predictions, row["threshold"])} | (rivals or {})
    models = {name: said for name, (said, _) in judged.items()}
    thresholds = {name: threshold for name, (_, threshold) in judged.items()}
    return render(
        "evaluation.html",
        title=f"Evaluation: {row['model']} on {describe_data(row)}, {row['split']} split",
        subtitle=f"{row['n']} films of {predictions.num_patients} patients.",
        checkpoint=checkpoint,
        row=row,
        metrics=metrics.METRICS,
        chance_ece=curves.compute_chance_ece(predictions),
        counts=dataset.class_counts(),
        num_patients=predictions.num_patients,
        warnings=None if warnings is None else [f"{name}: {text}" for name, text in warnings.items()],
        rivals=rivals,
        predictive_values=list_predictive_values(row, predictions),
        points=points and {n: metrics.judge_predictions(predictions, threshold=t) for n, t in points.items()},
        refer_bands=list_refer_bands(predictions, validation) if validation is not None else None,
        every_threshold=list_thresholds(predictions, row["threshold"]),
        **draw_curves(models, thresholds=thresholds, synthetic=dataset.is_synthetic),
        **build_error_sections(checkpoint, dataset, row, predictions),
        **build_robustness_sections(checkpoint, dataset, row),
    )


def draw_curves(models: dict[str, Predictions], *, thresholds: dict[str, float], synthetic: bool) -> dict:
    """The decisions and curves of models, and their differences; the first model is the one judged."""
    (name, predictions), mark = next(iter(models.items())), {"synthetic": synthetic}
    own = {"threshold": thresholds[name], **mark}
    values: dict = {
        "confusion": plots.plot_confusion(predictions, title="Confusion matrix", **own),
        "probs": plots.plot_probs(predictions, title="Probabilities", **own),
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
        if len(models) > 1 and min(np.bincount(predictions.labels)) > 1:
            pairs = compare.compare_all(models, thresholds=thresholds)
            figure = plots.plot_comparisons(pairs, title="Differences of models", **mark)
            values["comparison"] = {"figure": figure, "sentences": [pair.describe() for pair in pairs]}
    return values


def list_predictive_values(row: dict, predictions: Predictions) -> list[list[str]]:
    """What an answer is worth where pneumonia is rarer or more common; nothing where a class has no film."""
    if row["sensitivity"] is None or row["specificity"] is None:
        return []
    weights = metrics.draw_patient_weights(predictions.patients)
    draws = metrics.compute_draws(predictions, weights, threshold=row["threshold"])
    own = float(np.mean(predictions.labels))
    rows = []
    for prevalence in (*PREVALENCES, own):
        values, drawn = (
            metrics.compute_predictive_values(m["sensitivity"], m["specificity"], prevalence=prevalence)
            for m in (row, draws)
        )
        pairs = zip(values, map(metrics.compute_interval, drawn), strict=True)
        cells = [format_interval(value, interval) for value, interval in pairs]
        rows.append([f"{prevalence:.1%}" + (" (these films)" if prevalence == own else ""), *cells])
    return rows


def list_refer_bands(predictions: Predictions, validation: Predictions) -> list[tuple[str, dict]]:
    """What is referred to a person at stated error rates, and what is wrong among the rest."""
    bands = [fit_refer_band(validation.labels, validation.probs, alpha=alpha) for alpha in ERROR_RATES]
    return [
        (f"{band.alpha:.0%}, {place}", decisions.judge_refer_band(band, films))
        for band in bands
        for place, films in (("validation", validation), ("these films", predictions))
    ]


def list_thresholds(predictions: Predictions, own: float) -> dict[float, dict]:
    """What every threshold, the model's `own` among them, would do to these films."""
    labels, probs = predictions.labels, predictions.probs
    thresholds = sorted({*(i / 20 for i in range(1, 20)), own})
    return {t: metrics.compute_metrics(labels, probs, threshold=t) for t in thresholds}


def build_error_sections(
    checkpoint: Checkpoint, dataset: XrayDataset, row: dict, predictions: Predictions
) -> dict:
    """The worst errors, parts of the films, and what the model looks at, from its saliency maps."""
    reading: dict = {"transform": checkpoint.transform, "flip_average": checkpoint.flip_average}
    mark = {"synthetic": dataset.is_synthetic}
    model = checkpoint.build_model()
    maps = saliency.compute_saliency(model, dataset.images, **reading)
    checked = np.unique(np.linspace(0, len(dataset) - 1, NUM_CHECKED).astype(int))
    worst = metrics.choose_worst(predictions, threshold=row["threshold"], count=NUM_WORST)
    titles = [f"{CLASS_NAMES[predictions.labels[i]]}, prob {predictions.probs[i]:.2f}" for i in worst]
    parts = subgroups.compute_subgroups(predictions, dataset, threshold=row["threshold"])
    inside, even_share = saliency.compute_lung_share(maps), saliency.compute_even_share(dataset.image_size)
    shares = {CLASS_NAMES[label]: inside[dataset.labels == label] for label in np.unique(dataset.labels)}
    shares = {name: np.nanmedian(share) for name, share in shares.items() if np.isfinite(share).any()}
    return {
        "worst": show_saliency(dataset, worst, maps[worst], titles=titles) if len(worst) else None,
        "worst_names": predictions.names[worst],
        "subgroups": plots.plot_subgroups(parts, title="Parts of these films", **mark),
        "subgroup_sentences": subgroups.describe_subgroups(parts),
        "lung_shares": shares | {"an even map": even_share},
        "check": saliency.compute_randomisation_check(model, dataset.images[checked], **reading),
    }


def build_robustness_sections(checkpoint: Checkpoint, dataset: XrayDataset, row: dict) -> dict:
    """Films that get worse in nine ways, and films with lungs or all else covered; needs both classes."""
    if row["auroc"] is None:
        return {"corruptions": None, "coverage": None}
    predict, mark = make_predict(checkpoint), {"synthetic": dataset.is_synthetic}
    found = robustness.compute_corruption_curves(predict, dataset, threshold=row["threshold"])
    by_model = {checkpoint.model_name: found}
    losses = {name: rows[0]["auroc"] - rows[-1]["auroc"] for name, rows in found.items()}
    worst = max(losses, key=losses.__getitem__)
    plot = plots.plot_corruption_curves
    corruptions = {
        "ranking": plot(by_model, title="Worse films: ranking", **mark),
        "decisions": plot(by_model, title="Worse films: decisions", metric="specificity", **mark),
        "examples": plots.plot_corruptions(dataset, 0),
        "worst": worst,
        "loss": losses[worst],
    }
    return {"corruptions": corruptions, "coverage": saliency.compute_coverage(predict, dataset)}
