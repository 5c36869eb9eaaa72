"""Figures, all of one family: one module a subject, all reached as `plots.NAME`."""

from pneumo_utils.evaluation.plots.curves import (
    plot_comparisons,
    plot_decision_curve,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
)
from pneumo_utils.evaluation.plots.films import (
    plot_class_counts,
    plot_intensities,
    plot_shortcuts,
    show_batch,
    show_films,
    show_pictures,
)
from pneumo_utils.evaluation.plots.inside import plot_channels, show_receptive_field
from pneumo_utils.evaluation.plots.judging import (
    plot_confusion,
    plot_positions,
    plot_probs,
    plot_refer_bands,
)
from pneumo_utils.evaluation.plots.published import plot_beside_published
from pneumo_utils.evaluation.plots.robustness import (
    plot_corruption_curves,
    plot_corruptions,
    plot_subgroups,
)
from pneumo_utils.evaluation.plots.saliency import colour_saliency, plot_lung_share, show_saliency
from pneumo_utils.evaluation.plots.showing import MAX_ALT_LENGTH, describe_figure, show_figure
from pneumo_utils.evaluation.plots.style import COLOURS, STYLE, mark_synthetic, save_figure
from pneumo_utils.evaluation.plots.training import (
    plot_ablation,
    plot_history,
    plot_losses,
    plot_lr_curve,
    plot_lr_schedule,
)

__all__ = [
    "COLOURS",
    "MAX_ALT_LENGTH",
    "STYLE",
    "colour_saliency",
    "describe_figure",
    "mark_synthetic",
    "plot_ablation",
    "plot_beside_published",
    "plot_channels",
    "plot_class_counts",
    "plot_comparisons",
    "plot_confusion",
    "plot_corruption_curves",
    "plot_corruptions",
    "plot_decision_curve",
    "plot_history",
    "plot_intensities",
    "plot_losses",
    "plot_lr_curve",
    "plot_lr_schedule",
    "plot_lung_share",
    "plot_positions",
    "plot_precision_recall",
    "plot_probs",
    "plot_refer_bands",
    "plot_reliability",
    "plot_roc",
    "plot_shortcuts",
    "plot_subgroups",
    "save_figure",
    "show_batch",
    "show_figure",
    "show_films",
    "show_pictures",
    "show_receptive_field",
    "show_saliency",
]
