"""One page about a model on a split."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

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
from pneumo_utils.evaluation.results import describe_data
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
from pneumo_utils.plots import evaluation, robustness
from pneumo_utils.plots import films as saliency
from pneumo_utils.plots.films import plot_lung_share
from pneumo_utils.report import html
from pneumo_utils.report.html import build_document
from pneumo_utils.training.thresholds import fit_refer_band


@dataclass(frozen=True)
class Material:
    """A model, the films that it is judged on, and what it says of them.

    Attributes:
        checkpoint: The model.
        dataset: The films.
        row: Its figures, from `evaluate`.
        predictions: What it says of them, from the same call.
        validation: What it says of the validation films of its training set; None where they are not at hand
            or are the ones that are judged.
        rivals: Other models' predictions for the same films and their thresholds, by name.
        warnings: What the guard says of the films, by name.
        points: The model's operating points by name, from `find_points`; None where `validation` is.
    """

    checkpoint: Checkpoint
    dataset: XrayDataset
    row: dict
    predictions: Predictions
    validation: Predictions | None = None
    rivals: dict[str, tuple[Predictions, float]] = field(default_factory=dict)
    warnings: dict[str, str] | None = None
    points: dict[str, float] | None = None

    @property
    def models(self) -> dict[str, Predictions]:
        """The predictions of the model and its rivals, by name, the model first."""
        return {self.checkpoint.model_name: self.predictions} | {n: p for n, (p, _) in self.rivals.items()}

    @property
    def thresholds(self) -> dict[str, float]:
        """The thresholds of the model and its rivals, by name."""
        return {self.checkpoint.model_name: self.row["threshold"]} | {
            name: threshold for name, (_, threshold) in self.rivals.items()
        }

    @property
    def mark(self) -> dict[str, bool]:
        """What figures are told, so that those of phantoms are marked."""
        return {"synthetic": self.dataset.is_synthetic}

    @property
    def predict(self) -> Callable[[XrayDataset], np.ndarray]:
        """The model as a function from films to probabilities."""
        return make_predict(self.checkpoint)


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
    confusion = evaluation.plot_confusion(material.predictions, title="Confusion matrix", **settings)
    probs = evaluation.plot_probs(material.predictions, title="Probabilities", **settings)
    pictures = [
        html.make_figure(confusion, "Counts, and shares of the films with that label."),
        html.make_figure(probs, "How the probabilities are spread in each class."),
    ]
    return (
        html.make_table(["figure", "value", "95 % interval, by patient"], rows)
        + html.make_note(
            f"At the threshold {threshold:.3f}, which was chosen on validation films. The intervals come "
            "from drawing the patients again 2,000 times; they hold the trained model fixed. Perfect "
            f"probabilities would show an ece of about {chance:.3f} on as many films."
        )
        + html.make_row(pictures, kind="wider")
    )


def format_interval(interval: tuple[float | None, float | None]) -> str:
    """`0.912 to 0.948`, or that there is none."""
    low, high = interval
    return "no interval" if low is None else f"{low:.3f} to {high:.3f}"


def build_predictive_values(material: Material) -> str:
    """What an answer is worth where pneumonia is rarer or more common."""
    row, predictions = material.row, material.predictions
    if row["sensitivity"] is None or row["specificity"] is None:
        return html.make_note("Undefined: a class has no film.")
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
    return html.make_table(head, rows) + html.make_note(
        "Bayes' rule on sensitivity and specificity. It assumes that pneumonia looks the same in both places "
        "and only its share differs; another hospital or age group breaks that."
    )


def build_curves(material: Material) -> str:
    """ROC, precision and recall, reliability, decision curve."""
    if len(set(material.predictions.labels)) < 2 or material.predictions.num_patients < 2:
        return html.make_note("Undefined: the curves need films of both classes and of several patients.")
    models, thresholds = material.models, material.thresholds
    shown = {
        "Bands hold 95 % of the draws at each place, patient by patient.": evaluation.plot_roc(
            models, thresholds=thresholds, title="ROC", **material.mark
        ),
        "The same for precision and recall; the dotted line is the share of pneumonia.": (
            evaluation.plot_precision_recall(models, title="Precision and recall", **material.mark)
        ),
        "Are probabilities to be taken at their word? Each dot has a fifteenth of the films.": (
            evaluation.plot_reliability(models, title="Reliability", **material.mark)
        ),
        "Is acting on the model better than treating all or none?": evaluation.plot_decision_curve(
            models, title="Decision curve", **material.mark
        ),
    }
    return html.make_row([html.make_figure(f, caption) for caption, f in shown.items()], kind="wider")


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
    return html.make_table(head, rows) + html.make_note(
        "To read what a threshold costs, not to pick one: a threshold picked on the films that it is judged "
        "on flatters the model."
    )


def build_comparison(material: Material) -> str:
    """Which differences from other models are real."""
    if len(material.models) < 2:
        return ""
    if len(set(material.predictions.labels)) < 2 or material.predictions.num_patients < 2:
        return html.make_note("Undefined: a comparison needs films of both classes and of several patients.")
    rows = compare_all(material.models, thresholds=material.thresholds)
    sentences = "".join(html.make_paragraph(row.describe()) for row in rows)
    figure = evaluation.plot_comparisons(rows, title="Differences of models", **material.mark)
    return sentences + html.make_figure(figure, "Filled dots: real after Holm's correction for all pairs.")


ERROR_RATES = (0.01, 0.05, 0.1)
"""Stated error rates of the refer bands."""

NO_VALIDATION = (
    "Left out: operating points and refer bands are chosen on the validation films of the training set, "
    "which are not at hand here, and never on the films that are judged."
)


def build_points(material: Material) -> str:
    """Balanced, screening and rule-in, chosen on validation, on these films."""
    if material.points is None:
        return html.make_note(NO_VALIDATION)
    rows = []
    for name, judged in judge_points(material.predictions, material.points).items():
        cells = [
            "undefined"
            if judged[f] is None
            else f"{judged[f]:.3f} ({format_interval(judged['intervals'][f])})"
            for f in ("sensitivity", "specificity", "accuracy")
        ]
        rows.append([name.replace("_", "-"), f"{judged['threshold']:.3f}", *cells])
    head = ["point", "threshold", "sensitivity", "specificity", "accuracy"]
    return html.make_table(head, rows) + html.make_note(
        "Chosen on validation films and stressed copies of them: balanced has sensitivity and specificity "
        "closest over both, screening finds 95 % or more of either, rule-in leaves 95 % or more of the "
        "healthy of either alone. Balanced and screening are the thresholds that the model brings."
    )


def build_refer_bands(material: Material) -> str:
    """Sets of classes at stated error rates: what is referred, and what is wrong among the rest."""
    if material.validation is None:
        return html.make_note(NO_VALIDATION)
    rows = []
    for alpha in ERROR_RATES:
        band = fit_refer_band(material.validation.labels, material.validation.probs, alpha=alpha)
        for place, films in (("validation", material.validation), ("these films", material.predictions)):
            judged = judge_refer_band(band, films)
            cells = [
                "undefined"
                if judged[f] is None
                else f"{judged[f]:.1%} ({format_percent(judged['intervals'][f])})"
                for f in ("coverage", "share_referred", "error_among_answered")
            ]
            rows.append([f"{alpha:.0%}, {place}", *cells])
    head = ["stated error rate", "truth in the set", "referred to a person", "wrong among those answered"]
    return html.make_table(head, rows) + html.make_note(
        "Split-conformal sets, for each class on its own. The promise, truth in the set for all but the "
        "stated share, is made for films like the validation films. Where these films fall short of it, they "
        "are of another kind."
    )


def format_percent(interval: tuple[float | None, float | None]) -> str:
    """`91.2 % to 94.8 %`, or that there is none."""
    low, high = interval
    return "no interval" if low is None else f"{low:.1%} to {high:.1%}"


NUM_WORST = 8


def build_worst(material: Material) -> str:
    """The worst errors with what the model looked at."""
    p = material.predictions
    worst = choose_worst(p, threshold=material.row["threshold"], count=NUM_WORST)
    if not len(worst):
        return html.make_note("No film is judged wrongly at this threshold.")
    films, checkpoint = material.dataset.select(worst), material.checkpoint
    maps = compute_saliency(
        checkpoint.build_model(),
        films.images,
        transform=checkpoint.transform,
        flip_average=checkpoint.flip_average,
    )
    titles = [f"{CLASS_NAMES[p.labels[i]]}, prob {p.probs[i]:.2f}" for i in worst]
    figure = saliency.show_saliency(films, np.arange(len(worst)), maps, titles=titles)
    return html.make_figure(
        figure, "Above each film its label and the model's probability."
    ) + html.make_note(
        "Look for what these films share. Some labels may be wrong: they are experts' readings of films, not "
        "laboratory findings. "
        + "; ".join(f"{number}: {p.names[i]}" for number, i in enumerate(worst, start=1))
    )


def build_subgroups(material: Material) -> str:
    """Parts of the films: subtype, brightness, original size, films of one patient."""
    rows = compute_subgroups(material.predictions, material.dataset, threshold=material.row["threshold"])
    sentences = "".join(html.make_paragraph(sentence) for sentence in describe_subgroups(rows))
    figure = robustness.plot_subgroups(rows, title="Parts of these films", **material.mark)
    return html.make_figure(figure, "Dots with 95 % intervals by patient.") + sentences


def build_corruptions(material: Material) -> str:
    """The AUROC as films get worse in nine ways."""
    if material.row["auroc"] is None:
        return html.make_note("Undefined: a class has no film.")
    threshold = material.row["threshold"]
    found = compute_corruption_curves(material.predict, material.dataset, threshold=threshold)
    by_model = {material.checkpoint.model_name: found}
    ranking = robustness.plot_corruption_curves(by_model, title="Worse films: ranking", **material.mark)
    decisions = robustness.plot_corruption_curves(
        by_model, title="Worse films: decisions", metric="specificity", **material.mark
    )
    shown = robustness.plot_corruptions(material.dataset, 0)
    losses = {name: rows[0]["auroc"] - rows[-1]["auroc"] for name, rows in found.items()}
    worst = max(losses, key=losses.get)
    return (
        html.make_figure(ranking, "AUROC at each severity; below it the strength of the change.")
        + html.make_figure(decisions, "The same for specificity at the model's threshold.")
        + html.make_paragraph(f"At severity 5 it loses most to {worst}: {losses[worst]:.3f} of its AUROC.")
        + html.make_figure(shown, "What the severities look like.")
    )


NUM_CHECKED = 64
"""Films of the randomisation check, evenly picked: its figure is a median."""


def build_lungs(material: Material) -> str:
    """Covered films, the share of the saliency inside the lungs, and a check of the maps."""
    return _build_coverage(material) + _build_shares(material) + _build_check(material)


def _build_coverage(material: Material) -> str:
    found = compute_coverage(material.predict, material.dataset)
    words = {
        "whole": "films as they are",
        "lungs_covered": "lungs covered",
        "rest_covered": "all else covered",
    }
    rows = [
        [text, f"{found[name]:.3f}", format_interval(found["intervals"][name])]
        for name, text in words.items()
        if found[name] is not None
    ]
    if not rows:
        return html.make_note("The AUROC of covered films is undefined: a class has no film.")
    return html.make_table(["films", "AUROC", "95 % interval, by patient"], rows) + html.make_note(
        "A model that reads lungs falls towards 0.5 when they are covered, and keeps most when all else is. "
        "The cover is an even grey in the same place in all films; a covered film is unlike any that the "
        "model was trained on, so that some loss is owed to the strangeness alone."
    )


def _build_shares(material: Material) -> str:
    checkpoint, films = material.checkpoint, material.dataset
    maps = compute_saliency(
        checkpoint.build_model(),
        films.images,
        transform=checkpoint.transform,
        flip_average=checkpoint.flip_average,
    )
    shares = compute_lung_share(maps)
    by_class = {name: shares[films.labels == label] for label, name in enumerate(CLASS_NAMES)}
    shown = {name: values for name, values in by_class.items() if len(values)}
    even = compute_even_share(films.image_size)
    figure = plot_lung_share(shown, even_share=even, title="Saliency inside the lungs", **material.mark)
    return html.make_figure(figure, "Grad-CAM: a dot is a film, a bar the median of the class.")


def _build_check(material: Material) -> str:
    checkpoint, images = material.checkpoint, material.dataset.images
    chosen = np.unique(np.linspace(0, len(images) - 1, NUM_CHECKED).astype(int))
    check = compute_randomisation_check(
        checkpoint.build_model(),
        images[chosen],
        transform=checkpoint.transform,
        flip_average=checkpoint.flip_average,
    )
    if np.isnan(check.median):
        return html.make_note("The maps cannot be checked: nothing speaks for pneumonia in any of them.")
    low, high = np.nanmin(check.draw_medians), np.nanmax(check.draw_medians)
    return html.make_paragraph(
        f"Rank correlation with the maps of networks with random weights: {check.median:.2f} over "
        f"{len(chosen)} films ({low:.2f} to {high:.2f} in {len(check.draw_medians)} draws). Near 0 the maps "
        "belong to what was learnt; near 1 they would only trace the film."
    )


SECTIONS = {
    "Figures": build_figures,
    "Curves": build_curves,
    "What an answer is worth elsewhere": build_predictive_values,
    "Operating points": build_points,
    "Films for a person": build_refer_bands,
    "Every threshold": build_thresholds,
    "Other models on the same films": build_comparison,
    "Worst errors": build_worst,
    "Parts of these films": build_subgroups,
    "Worse films": build_corruptions,
    "Does it look at lungs?": build_lungs,
}
"""Heading and builder of each section, in the order of the page."""


def build_report(material: Material) -> str:
    """The page, with all its pictures inside it.

    Args:
        material: A model, films, and what it says of them.

    Returns:
        HTML that needs no network.
    """
    row = material.row
    sections = {"In short": _build_summary(material)}
    sections |= {heading: build(material) for heading, build in SECTIONS.items()}
    return build_document(
        f"Evaluation: {row['model']} on {describe_data(row)}, {row['split']} split",
        subtitle=f"{row['n']} films of {material.predictions.num_patients} patients.",
        sections=sections,
    )


def save_report(material: Material, path: Path) -> None:
    """Writes the page; its folder is made on demand."""
    page = build_report(material)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _build_summary(material: Material) -> str:
    row, config = material.row, material.checkpoint.config
    counts = material.dataset.class_counts()
    films = " and ".join(f"{count} {name}" for name, count in counts.items())
    start = "ImageNet weights" if row["pretrained"] else "random weights"
    lines = [
        f"{row['model']} was trained on {row['trained_on']} from {start}, seed {row['seed']}, at "
        f"{row['image_size']} x {row['image_size']} pixels; epoch, temperature and thresholds were chosen on "
        f"{'validation' if row['chosen_on'] == 'val' else row['chosen_on']} films.",
        f"It is judged on {films} films; {row['num_skipped']} damaged ones were left out.",
        _state_figures(row),
    ]
    if row["split"] != "test":
        lines.append("These are not test films: the model or its threshold was chosen on them.")
    if material.warnings is not None:
        lines.append(
            f"{len(material.warnings)} of {row['n'] + row['num_skipped']} films differ from the training "
            "films in size, shape or tones."
        )
    named = [f"{name}: {text}" for name, text in (material.warnings or {}).items()]
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
    return (
        "".join(html.make_paragraph(line) for line in lines)
        + html.make_list("Films that differ", named)
        + html.make_note(f"Recipe: {config.num_epochs} epochs, learning rate {config.lr:g}. {versions}.")
    )


def _state_figures(row: dict) -> str:
    def state(name: str) -> str:
        if row[name] is None:
            return f"{name} undefined ({row['undefined'][name]})"
        low, high = row["intervals"][name]
        return f"{name} {row[name]:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None else "")

    shown = ", ".join(state(name) for name in ("auroc", "accuracy", "sensitivity", "specificity"))
    return f"At the threshold {row['threshold']:.3f}: {shown}."
