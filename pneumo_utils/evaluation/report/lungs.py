"""The section of the report that asks whether the model looks at lungs."""

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.evaluation.coverage import compute_coverage
from pneumo_utils.evaluation.explain import compute_even_share, compute_lung_share, compute_saliency
from pneumo_utils.evaluation.plots.saliency import plot_lung_share
from pneumo_utils.evaluation.randomisation import compute_randomisation_check
from pneumo_utils.evaluation.report.figures import format_interval
from pneumo_utils.evaluation.report.material import Material
from pneumo_utils.page import parts

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
        return parts.make_note("The AUROC of covered films is undefined: a class has no film.")
    return parts.make_table(["films", "AUROC", "95 % interval, by patient"], rows) + parts.make_note(
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
    return parts.make_figure(figure, "Grad-CAM: a dot is a film, a bar the median of the class.")


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
        return parts.make_note("The maps cannot be checked: nothing speaks for pneumonia in any of them.")
    low, high = np.nanmin(check.draw_medians), np.nanmax(check.draw_medians)
    return parts.make_paragraph(
        f"Rank correlation with the maps of networks with random weights: {check.median:.2f} over "
        f"{len(chosen)} films ({low:.2f} to {high:.2f} in {len(check.draw_medians)} draws). Near 0 the maps "
        "belong to what was learnt; near 1 they would only trace the film."
    )
