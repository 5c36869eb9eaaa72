"""Answers as HTML: a card, a table of many, a page for one film."""

from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from pneumo_utils.app.predictor import Prediction, find_refer_range
from pneumo_utils.config import CLASS_NAMES, REFER_ALPHA
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.plots.films import colour_saliency
from pneumo_utils.plots.style import COLOURS
from pneumo_utils.report import html

DISCLAIMER = "For teaching, never for diagnosis."
REFER = "For a person to decide"
COLOUR_BY_CALL = dict(zip(CLASS_NAMES, COLOURS, strict=False)) | {REFER: "#8d5300", "Rejected": "#52606d"}

STYLE = f"<style>{(Path(__file__).parent / 'front' / 'answer_card.css').read_text(encoding='utf-8')}</style>"
"""What cards and tables need to be seen with."""


def name_call(prediction: Prediction) -> str:
    """What the answer comes to in a word or two: a class name, `REFER` or "Rejected"."""
    if prediction.status == "rejected":
        return "Rejected"
    return REFER if prediction.refer else prediction.label


def make_card(prediction: Prediction, *, refer_range: tuple[float, float] | None) -> str:
    """One answer as HTML, for a panel or a page: all that is known, in plain sentences.

    Args:
        prediction: The answer.
        refer_range: Probabilities that go to a person; None where the model has no band.

    Returns:
        HTML that needs `STYLE`; text from outside is escaped.
    """
    call = name_call(prediction)
    body = (
        f"<p>{escape(prediction.reason)}</p>"
        if prediction.status == "rejected"
        else _describe_ok(prediction, refer_range)
    )
    return (
        f'<div class="pneumo-card" style="border-left-color: {COLOUR_BY_CALL[call]}">'
        f'<p class="soft">{escape(prediction.path)}</p>'
        f'<h3 style="color: {COLOUR_BY_CALL[call]}">{escape(call)}</h3>{body}'
        f'<p class="soft">Read and answered in {1000 * prediction.time_s:.0f} ms. <b>{DISCLAIMER}</b></p>'
        "</div>"
    )


def _describe_ok(prediction: Prediction, refer_range: tuple[float, float] | None) -> str:
    prob, threshold = prediction.probability, prediction.threshold
    side = "at or above" if prob >= threshold else "below"
    sentences = [
        f"The model gives pneumonia a probability of <b>{prob:.1%}</b>, {side} the threshold of "
        f"{threshold:.1%}: it calls this film {prediction.label}."
    ]
    if prediction.refer:
        sentences.append(
            f"But between {refer_range[0]:.1%} and {refer_range[1]:.1%} it was wrong too often on validation "
            "films: a person should decide."
        )
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in prediction.warnings)
    return (
        _make_bar(prob, threshold, refer_range, COLOUR_BY_CALL[prediction.label])
        + f"<p>{' '.join(sentences)}</p>"
        + (f"<p><b>Read this with care:</b></p><ul>{warnings}</ul>" if warnings else "")
        + f'<p class="soft">Model {escape(prediction.model)}, which learnt from '
        f"{escape(prediction.trained_on)}. Its probabilities were calibrated on validation films of that "
        "kind; for other films they may be off.</p>"
    )


def _make_bar(prob: float, threshold: float, refer_range: tuple[float, float] | None, colour: str) -> str:
    band = ""
    if refer_range:
        low, high = refer_range
        band = f'<div class="band" style="left: {low:.1%}; width: {high - low:.1%}"></div>'
    place = min(max(threshold, 0.1), 0.9)  # of the word, which would leave the bar at the ends
    return (
        f'<div class="pneumo-bar" role="img" aria-label="probability {prob:.1%}, threshold {threshold:.1%}">'
        f'{band}<div class="fill" style="width: {prob:.1%}; background: {colour}"></div>'
        f'<div class="line" style="left: {threshold:.1%}"></div>'
        f'<div class="name" style="left: {place:.1%}">threshold</div></div>'
    )


def make_answer_table(predictions: list[Prediction]) -> str:
    """Many answers as an HTML table, one row each; needs `STYLE`."""
    rows = []
    for number, prediction in enumerate(predictions, start=1):
        call = name_call(prediction)
        prob = "" if prediction.probability is None else f"{prediction.probability:.1%}"
        note = prediction.reason or " ".join(prediction.warnings)
        rows.append(
            f'<tr><td>{number}. {escape(prediction.path)}</td><td class="number">{prob}</td>'
            f'<td style="color: {COLOUR_BY_CALL[call]}"><b>{escape(call)}</b></td>'
            f"<td>{escape(note)}</td></tr>"
        )
    head = "<tr><th>film</th><th>P(pneumonia)</th><th>answer</th><th>to be known</th></tr>"
    return f'<div class="pneumo-wide"><table>{head}{"".join(rows)}</table></div>'


OPACITY = 0.6
"""Of the colour where the map is 1."""


def build_film_page(
    prediction: Prediction, picture: np.ndarray | None, saliency: np.ndarray | None, checkpoint: Checkpoint
) -> str:
    """The page of one film.

    Args:
        prediction: The answer.
        picture: uint8 (H, W), the film as it is shown; None where it was rejected.
        saliency: float (S, S), 0 to 1, laid over the film; None where it was rejected.
        checkpoint: The model that answered.

    Returns:
        HTML with everything inside it.
    """
    limits = checkpoint.refer_limits
    refer_range = limits and find_refer_range(limits, prediction.threshold)
    return html.render(
        "film.html",
        title="A film and what a model says of it",
        subtitle=f"{prediction.path}.",
        card=STYLE + make_card(prediction, refer_range=refer_range),
        picture=picture,
        blended=None if picture is None else blend(picture, saliency),
        facts=_list_facts(checkpoint),
    )


def blend(picture: np.ndarray, saliency: np.ndarray, *, opacity: float = OPACITY) -> np.ndarray:
    """A film under the colours of its map.

    Args:
        picture: uint8 (H, W).
        saliency: float (S, S), 0 to 1, stretched over the film.
        opacity: Of the colour where the map is 1, 0 to 1.

    Returns:
        uint8 (H, W, 3).
    """
    film = Image.fromarray(picture).convert("RGBA")
    colours = np.array(
        Image.fromarray(colour_saliency(saliency)).resize(film.size, Image.Resampling.BILINEAR)
    )
    colours[..., 3] = (opacity * colours[..., 3]).round().astype(np.uint8)
    return np.array(Image.alpha_composite(film, Image.fromarray(colours)).convert("RGB"))


def _list_facts(checkpoint: Checkpoint) -> list[list[str]]:
    rows = [
        ["name", checkpoint.model_name],
        ["learnt from", checkpoint.source],
        ["input", f"{checkpoint.transform.image_size} x {checkpoint.transform.image_size} pixels, grey"],
        ["balanced threshold", f"{checkpoint.threshold:.3f}"],
    ]
    if checkpoint.screening_threshold is not None:
        rows.append(["screening threshold", f"{checkpoint.screening_threshold:.3f}"])
    if checkpoint.refer_limits is not None:
        low, high = find_refer_range(checkpoint.refer_limits, checkpoint.threshold)
        rows.append([f"goes to a person (errors of {REFER_ALPHA:.0%})", f"{low:.3f} to {high:.3f}"])
    if "auroc" in checkpoint.val_metrics:
        rows.append(["AUROC on validation films", f"{checkpoint.val_metrics['auroc']:.3f}"])
    return rows
