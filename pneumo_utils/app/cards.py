"""Answers as HTML: a card, a table of many, a page for one film.

Card and table come with every film and are strings: Jinja2 takes longer to load than a model to answer.
"""

from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from pneumo_utils.app.predictor import Prediction
from pneumo_utils.config import CLASS_COLOURS, CLASS_NAMES, COLOUR_MAP, REFER_ALPHA
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import find_refer_range

DISCLAIMER = "For teaching, never for diagnosis."
REFER = "For a person to decide"
COLOUR_BY_CALL = {REFER: "#8d5300", "Rejected": "#52606d"} | dict(
    zip(CLASS_NAMES, CLASS_COLOURS, strict=True)
)
STYLE = f"<style>{(Path(__file__).parent / 'front' / 'front.css').read_text(encoding='utf-8')}</style>"


def name_call(prediction: Prediction) -> str:
    """What the answer comes to in a word or two: a class name, `REFER` or "Rejected"."""
    if prediction.status == "rejected":
        return "Rejected"
    return REFER if prediction.refer else prediction.label


def make_card(prediction: Prediction, *, refer_range: tuple[float, float] | None) -> str:
    """One answer as HTML that needs `STYLE`; `refer_range` is None where the model has no refer band."""
    call = name_call(prediction)
    if prediction.status == "rejected":
        body = f"<p>{escape(prediction.reason)}</p>"
    else:
        body = _make_bar(prediction, refer_range) + _describe(prediction, refer_range)
    return (
        f'<div class="pneumo-card" style="--call: {COLOUR_BY_CALL[call]}">'
        f'<p class="soft">{escape(prediction.path)}</p>'
        f'<h3 class="pneumo-call">{escape(call)}</h3>{body}'
        f'<p class="soft">Read and answered in {1000 * prediction.time_s:.0f} ms. <b>{DISCLAIMER}</b></p>'
        "</div>"
    )


def _make_bar(prediction: Prediction, refer_range: tuple[float, float] | None) -> str:
    prob, threshold, colour = prediction.probability, prediction.threshold, COLOUR_BY_CALL[prediction.label]
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


def _describe(prediction: Prediction, refer_range: tuple[float, float] | None) -> str:
    prob, threshold = prediction.probability, prediction.threshold
    side = "at or above" if prob >= threshold else "below"
    text = (
        f"The model gives pneumonia a probability of <b>{prob:.1%}</b>, {side} the threshold of "
        f"{threshold:.1%}: it calls this film {prediction.label}."
    )
    if prediction.refer:
        low, high = refer_range
        text += (
            f" But between {low:.1%} and {high:.1%} it was wrong too often on validation films: a person "
            "should decide."
        )
    html = f"<p>{text}</p>"
    if prediction.warnings:
        warnings = "".join(f"<li>{escape(warning)}</li>" for warning in prediction.warnings)
        html += f"<p><b>Read this with care:</b></p><ul>{warnings}</ul>"
    return html + (
        f'<p class="soft">Model {escape(prediction.model)}, which learnt from '
        f"{escape(prediction.trained_on)}. Its probabilities were calibrated on validation films of that "
        "kind; for other films they may be off.</p>"
    )


def make_answer_table(predictions: list[Prediction]) -> str:
    """Many answers as an HTML table, one row each; needs `STYLE`."""
    rows = ["<tr><th>film</th><th>P(pneumonia)</th><th>answer</th><th>to be known</th></tr>"]
    for number, prediction in enumerate(predictions, start=1):
        call = name_call(prediction)
        prob = "" if prediction.probability is None else f"{prediction.probability:.1%}"
        note = prediction.reason or " ".join(prediction.warnings)
        rows.append(
            f'<tr><td>{number}. {escape(prediction.path)}</td><td class="number">{prob}</td>'
            f'<td class="pneumo-call" style="--call: {COLOUR_BY_CALL[call]}"><b>{escape(call)}</b></td>'
            f"<td>{escape(note)}</td></tr>"
        )
    return f'<div class="pneumo-wide"><table>{"".join(rows)}</table></div>'


def build_film_page(
    prediction: Prediction, picture: np.ndarray | None, saliency: np.ndarray | None, checkpoint: Checkpoint
) -> str:
    """The page of one film: uint8 (H, W) and float (S, S) of 0 to 1, both None where it was rejected."""
    from pneumo_utils.report.html import render

    refer_range = find_refer_range(checkpoint.refer_limits, prediction.threshold)
    return render(
        "film.html",
        title="A film and what a model says of it",
        subtitle=f"{prediction.path}.",
        card=STYLE + make_card(prediction, refer_range=refer_range),
        picture=picture,
        blended=None if picture is None else blend(picture, saliency),
        checkpoint=checkpoint,
        balanced_range=find_refer_range(checkpoint.refer_limits, checkpoint.threshold),
        refer_alpha=REFER_ALPHA,
    )


def colour_saliency(saliency: np.ndarray) -> np.ndarray:
    """A map, float (H, W) of 0 to 1, as uint8 (H, W, 4): its colours, with the map itself as opacity."""
    from matplotlib import colormaps

    coloured = colormaps[COLOUR_MAP](saliency)
    coloured[..., 3] = saliency
    return (255 * coloured).round().astype(np.uint8)


def blend(picture: np.ndarray, saliency: np.ndarray, *, opacity: float = 0.6) -> np.ndarray:
    """A film, uint8 (H, W), under the colours of its map, float (S, S) of 0 to 1: uint8 (H, W, 3)."""
    film = Image.fromarray(picture).convert("RGBA")
    colours = Image.fromarray(colour_saliency(saliency)).resize(film.size, Image.Resampling.BILINEAR)
    colours.putalpha(colours.getchannel("A").point(lambda alpha: round(opacity * alpha)))
    return np.array(Image.alpha_composite(film, colours).convert("RGB"))
