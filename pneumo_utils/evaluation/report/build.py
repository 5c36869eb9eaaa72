"""The report as one page."""

from pathlib import Path

from pneumo_utils.evaluation.report import decisions, failures, figures, lungs
from pneumo_utils.evaluation.report.material import Material
from pneumo_utils.evaluation.results import describe_data
from pneumo_utils.page import parts
from pneumo_utils.page.document import build_document

SECTIONS = {
    "Figures": figures.build_figures,
    "Curves": figures.build_curves,
    "What an answer is worth elsewhere": figures.build_predictive_values,
    "Operating points": decisions.build_points,
    "Films for a person": decisions.build_refer_bands,
    "Every threshold": figures.build_thresholds,
    "Other models on the same films": figures.build_comparison,
    "Worst errors": failures.build_worst,
    "Parts of these films": failures.build_subgroups,
    "Worse films": failures.build_corruptions,
    "Does it look at lungs?": lungs.build_lungs,
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
        "".join(parts.make_paragraph(line) for line in lines)
        + parts.make_list("Films that differ", named)
        + parts.make_note(f"Recipe: {config.num_epochs} epochs, learning rate {config.lr:g}. {versions}.")
    )


def _state_figures(row: dict) -> str:
    def state(name: str) -> str:
        if row[name] is None:
            return f"{name} undefined ({row['undefined'][name]})"
        low, high = row["intervals"][name]
        return f"{name} {row[name]:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None else "")

    shown = ", ".join(state(name) for name in ("auroc", "accuracy", "sensitivity", "specificity"))
    return f"At the threshold {row['threshold']:.3f}: {shown}."
