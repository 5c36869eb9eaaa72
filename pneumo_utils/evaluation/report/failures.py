"""Sections of the report that ask where the model fails."""

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.evaluation.corruptions import compute_corruption_curves
from pneumo_utils.evaluation.explain import compute_saliency
from pneumo_utils.evaluation.plots import robustness, saliency
from pneumo_utils.evaluation.predictions import choose_worst
from pneumo_utils.evaluation.report.material import Material
from pneumo_utils.evaluation.subgroups import compute_subgroups, describe_subgroups
from pneumo_utils.page import parts

NUM_WORST = 8


def build_worst(material: Material) -> str:
    """The worst errors with what the model looked at."""
    p = material.predictions
    worst = choose_worst(p, threshold=material.row["threshold"], count=NUM_WORST)
    if not len(worst):
        return parts.make_note("No film is judged wrongly at this threshold.")
    films, checkpoint = material.dataset.select(worst), material.checkpoint
    maps = compute_saliency(
        checkpoint.build_model(),
        films.images,
        transform=checkpoint.transform,
        flip_average=checkpoint.flip_average,
    )
    titles = [f"{CLASS_NAMES[p.labels[i]]}, prob {p.probs[i]:.2f}" for i in worst]
    figure = saliency.show_saliency(films, np.arange(len(worst)), maps, titles=titles)
    return parts.make_figure(
        figure, "Above each film its label and the model's probability."
    ) + parts.make_note(
        "Look for what these films share. Some labels may be wrong: they are experts' readings of films, not "
        "laboratory findings. "
        + "; ".join(f"{number}: {p.names[i]}" for number, i in enumerate(worst, start=1))
    )


def build_subgroups(material: Material) -> str:
    """Parts of the films: subtype, brightness, original size, films of one patient."""
    rows = compute_subgroups(material.predictions, material.dataset, threshold=material.row["threshold"])
    sentences = "".join(parts.make_paragraph(sentence) for sentence in describe_subgroups(rows))
    figure = robustness.plot_subgroups(rows, title="Parts of these films", **material.mark)
    return parts.make_figure(figure, "Dots with 95 % intervals by patient.") + sentences


def build_corruptions(material: Material) -> str:
    """The AUROC as films get worse in nine ways."""
    if material.row["auroc"] is None:
        return parts.make_note("Undefined: a class has no film.")
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
        parts.make_figure(ranking, "AUROC at each severity; below it the strength of the change.")
        + parts.make_figure(decisions, "The same for specificity at the model's threshold.")
        + parts.make_paragraph(f"At severity 5 it loses most to {worst}: {losses[worst]:.3f} of its AUROC.")
        + parts.make_figure(shown, "What the severities look like.")
    )
