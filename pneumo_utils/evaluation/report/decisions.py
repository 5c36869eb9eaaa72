"""Sections of the report about operating points and about films that go to a person."""

from pneumo_utils.evaluation.conformal import judge_refer_band
from pneumo_utils.evaluation.operating import choose_points, judge_points
from pneumo_utils.evaluation.report.figures import format_interval
from pneumo_utils.evaluation.report.material import Material
from pneumo_utils.page import parts
from pneumo_utils.training.refer_band import fit_refer_band

ERROR_RATES = (0.01, 0.05, 0.1)
"""Stated error rates of the refer bands."""

NO_VALIDATION = (
    "Left out: operating points and refer bands are chosen on the validation films of the training set, "
    "which are not at hand here, and never on the films that are judged."
)


def build_points(material: Material) -> str:
    """Balanced, screening and rule-in, chosen on validation, on these films."""
    if material.validation is None:
        return parts.make_note(NO_VALIDATION)
    points = choose_points(material.validation)
    rows = []
    for name, judged in judge_points(material.predictions, points).items():
        cells = [
            "undefined"
            if judged[f] is None
            else f"{judged[f]:.3f} ({format_interval(judged['intervals'][f])})"
            for f in ("sensitivity", "specificity", "accuracy")
        ]
        rows.append([name.replace("_", "-"), f"{judged['threshold']:.3f}", *cells])
    head = ["point", "threshold", "sensitivity", "specificity", "accuracy"]
    own = material.checkpoint
    kept = [f"balanced {own.threshold:.3f}"]
    if own.screening_threshold is not None:
        kept.append(f"screening {own.screening_threshold:.3f}")
    return parts.make_table(head, rows) + parts.make_note(
        "Chosen on plain validation films: balanced has sensitivity and specificity closest, screening finds "
        "95 % or more, rule-in leaves 95 % or more of the healthy alone. The model itself brings thresholds "
        f"that were chosen on stressed copies as well ({', '.join(kept)})."
    )


def build_refer_bands(material: Material) -> str:
    """Sets of classes at stated error rates: what is referred, and what is wrong among the rest."""
    if material.validation is None:
        return parts.make_note(NO_VALIDATION)
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
    return parts.make_table(head, rows) + parts.make_note(
        "Split-conformal sets, for each class on its own. The promise, truth in the set for all but the "
        "stated share, is made for films like the validation films. Where these films fall short of it, they "
        "are of another kind."
    )


def format_percent(interval: tuple[float | None, float | None]) -> str:
    """`91.2 % to 94.8 %`, or that there is none."""
    low, high = interval
    return "no interval" if low is None else f"{low:.1%} to {high:.1%}"
