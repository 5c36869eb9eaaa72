"""Move a threshold and see whom it finds, whom it misses and whom it alarms."""

from pneumo_utils.evaluation.metrics import Predictions, compute_metrics

STEP = 0.005


def describe_threshold(predictions: Predictions, threshold: float) -> str:
    """What a threshold does to these films, in one sentence.

    Args:
        predictions: Of N films.
        threshold: Call it pneumonia when prob >= threshold, 0 to 1.
    """
    figures = compute_metrics(predictions.labels, predictions.probs, threshold=threshold)
    c = figures["confusion"]
    return (
        f"At {threshold:.3f}: {c['tp']} of {c['tp'] + c['fn']} ill found, {c['fn']} missed; "
        f"{c['fp']} of {c['tn'] + c['fp']} well alarmed; {figures['accuracy']:.1%} right."
    )


def build_threshold_explorer(models: dict[str, Predictions], *, threshold: float):
    """A slider, and below it a line for each model that follows it.

    It is made to show what a threshold costs. A threshold that was picked on the films that it is judged on
    flatters the model.

    Args:
        models: Predictions by model name, one or more.
        threshold: Where the slider starts, 0 to 1.

    Returns:
        An ipywidgets box of the slider and one HTML line a model, to be displayed.
    """
    import ipywidgets as widgets

    slider = widgets.FloatSlider(
        value=threshold,
        min=0,
        max=1,
        step=STEP,
        description="threshold",
        readout_format=".3f",
        layout=widgets.Layout(width="30em"),
    )
    lines = {name: widgets.HTML() for name in models}

    def update(_change=None) -> None:
        for name, line in lines.items():
            line.value = f"<b>{name}</b> {describe_threshold(models[name], slider.value)}"

    slider.observe(update, names="value")
    update()
    return widgets.VBox([slider, *lines.values()])
