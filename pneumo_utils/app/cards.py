"""Answers as HTML: a card, a table of many, a page for one film; the words stand in `report/templates`."""

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
    if prediction.label is None:
        return "Rejected"
    return REFER if prediction.refer else prediction.label


def make_card(prediction: Prediction, *, refer_range: tuple[float, float] | None) -> str:
    """One answer as HTML that needs `STYLE`; `refer_range` is None where the model has no refer band."""
    return str(_get_macros().card(prediction, name_call(prediction), refer_range))


def make_answer_table(predictions: list[Prediction]) -> str:
    """Many answers as an HTML table, one row each; needs `STYLE`."""
    return str(_get_macros().table([(prediction, name_call(prediction)) for prediction in predictions]))


def _get_macros():
    from pneumo_utils.report.html import make_environment

    template = make_environment().get_template("answers.html")
    return template.make_module({"colours": COLOUR_BY_CALL, "disclaimer": DISCLAIMER})


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
        blended=None if picture is None or saliency is None else blend(picture, saliency),
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
