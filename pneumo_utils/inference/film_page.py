"""One film and its answer as an HTML page that can be kept or printed."""

import numpy as np
from PIL import Image

from pneumo_utils.evaluation.plots import colour_saliency
from pneumo_utils.inference.answer_card import STYLE, make_card
from pneumo_utils.inference.prediction import Prediction
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.page import document, parts
from pneumo_utils.training.refer_band import REFER_ALPHA, find_refer_range

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
    sections = {"Answer": STYLE + make_card(prediction, refer_range=refer_range)}
    if picture is not None:
        sections["Film"] = _show_film(picture, saliency)
    sections["Model"] = _describe_model(checkpoint)
    return document.build_document(
        "A film and what a model says of it", subtitle=prediction.path + ".", sections=sections
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


def _show_film(picture: np.ndarray, saliency: np.ndarray) -> str:
    pair = [
        parts.make_image(picture, "The film"),
        parts.make_image(blend(picture, saliency), "What speaks for pneumonia in it (Grad-CAM)"),
    ]
    return parts.make_row(pair, kind="wider") + parts.make_note(
        "The colours show where the model found something that speaks for pneumonia, in coarse cells, the "
        "brightest of this film in yellow. They do not show how much, and they do not show that it is right."
    )


def _describe_model(checkpoint: Checkpoint) -> str:
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
    return parts.make_table(["", "value"], rows) + parts.make_note(
        "The model learnt from the films of one collection and knows two words. It knows nothing of other "
        "hospitals, other ages or any other disease."
    )
