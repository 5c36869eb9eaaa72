"""The upload panel of lesson 05: a film goes in, its picture, probability and decision come out.

Works with ipywidgets 7 (Colab) and 8, whose upload widgets hold their files in different forms.
"""

import logging

import ipywidgets as widgets
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

from pneumo_utils.data.image_io import IMAGE_SUFFIXES, load_image
from pneumo_utils.evaluation.plots import COLOURS, STYLE, mark_synthetic
from pneumo_utils.inference.predictor import Prediction, Predictor

DISCLAIMER = "For teaching, never for diagnosis."


def make_upload() -> widgets.FileUpload:
    """A button that takes one or many image files."""
    return widgets.FileUpload(
        accept=",".join(sorted(IMAGE_SUFFIXES)), multiple=True, description="Upload films"
    )


def read_upload(upload: widgets.FileUpload) -> list[tuple[str, bytes]]:
    """The files in an upload widget, as names and bytes.

    Args:
        upload: Of ipywidgets 7, whose value is a dict by name, or 8, whose value is a tuple of records.

    Returns:
        One (name, content) a file, in the order of the upload.
    """
    if isinstance(upload.value, dict):
        return [(name, bytes(record["content"])) for name, record in upload.value.items()]
    return [(record["name"], bytes(record["content"])) for record in upload.value]


def clear_upload(upload: widgets.FileUpload) -> None:
    """Takes the bytes out of the widget, so that no film is saved with a notebook."""
    if isinstance(upload.value, dict):
        with upload.hold_sync():
            upload.metadata, upload.data, upload._counter = [], [], 0
    else:
        upload.value = ()


def plot_prediction(source, prediction: Prediction) -> Figure:
    """The film beside a bar of its probability with the threshold.

    Args:
        source: What `load_image` takes; it was read before without an error.
        prediction: The answer for it, of status "ok".
    """
    colour = COLOURS[int(prediction.label == "PNEUMONIA")]
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.4), width_ratios=(1, 1.2))
        left.imshow(load_image(source), cmap="gray", vmin=0, vmax=255)
        left.axis("off")
        right.barh([0], [prediction.probability], color=colour, height=0.4)
        right.axvline(prediction.threshold, color="0.2", linestyle="--")
        right.text(
            prediction.threshold,
            0.32,
            "threshold",
            ha="center",
            va="bottom",
            fontsize=10,
            bbox={"fc": "white", "ec": "none"},
        )
        right.set(xlim=(0, 1), ylim=(-0.6, 0.6), yticks=[], xlabel="P(pneumonia)")
        text = f"{prediction.label}: {prediction.probability:.1%}"
        right.set_title(mark_synthetic(text, prediction.trained_on == "synthetic"), color=colour)
        figure.tight_layout()
    return figure


def show_prediction(source, prediction: Prediction) -> None:
    """Displays the sentence and, where there is an answer, the film with its probability."""
    print(prediction.describe())
    if prediction.status == "ok":
        figure = plot_prediction(source, prediction)
        display(figure)
        plt.close(figure)


def build_upload_panel(predictor: Predictor) -> widgets.VBox:
    """An upload button and, below it, the answers.

    Args:
        predictor: Answers for each film.

    Returns:
        A panel to be displayed; its children are the notice, the upload button and the output area.
    """
    upload, output = make_upload(), widgets.Output()

    def answer(_change) -> None:
        films = read_upload(upload)
        if not films:
            return
        clear_upload(upload)
        with output:
            output.clear_output(wait=True)
            for name, content in films:
                try:
                    show_prediction(content, predictor.predict(content, name=name))
                except Exception:  # whatever goes wrong is said in the panel; the panel lives on
                    logging.getLogger(__name__).exception("the upload %s failed", name)
                    print(f"{name}: something went wrong inside the program; please try another film.")

    upload.observe(answer, names="value" if not isinstance(upload.value, dict) else "_counter")
    notice = widgets.HTML(f"<b>{DISCLAIMER}</b> JPEG, PNG, BMP, TIFF or WebP, one or many.")
    return widgets.VBox([notice, upload, output])
