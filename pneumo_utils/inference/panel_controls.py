"""The parts of the upload panel and how they are laid out; what they do is in `panel`."""

import ipywidgets as widgets

from pneumo_utils.inference import uploads
from pneumo_utils.inference.answer_card import DISCLAIMER, STYLE
from pneumo_utils.inference.front import DropZone, FilmView, SaveButton

OWN_POINT = "own threshold"
_NOTICE = (
    f'<div class="pneumo-notice"><b>{DISCLAIMER}</b> Films stay in the memory of the computer that runs this '
    "and are gone when it is closed. Give no film of a real person to a computer that is not yours.</div>"
)
_LINE = {"flex_flow": "row wrap", "align_items": "center", "width": "100%"}


def _row(*parts, **layout) -> widgets.Box:
    return widgets.Box(parts, layout=widgets.Layout(**_LINE | layout))


def _size(width: str) -> widgets.Layout:
    return widgets.Layout(width=f"min({width}, 98%)")


class Controls:
    """All widgets of the panel; `box` shows them.

    Args:
        models: Names to choose from.
        samples: Names of films to try.
        on_films: What the drop zone does with names and bytes.
        make_table: Gives the file of all answers.
        make_page: Gives the file of the film that is shown.
    """

    def __init__(self, *, models: list[str], samples: list[str], on_films, make_table, make_page):
        labelled = {"style": {"description_width": "initial"}, "layout": _size("22em")}
        self.drop_zone = DropZone(on_films)
        self.upload = uploads.make_upload()
        self.colab = widgets.Button(description="Upload with Colab", layout=_size("12em"))
        self.path = widgets.Text(placeholder="or the path of a file or folder", layout=_size("20em"))
        self.read_path = widgets.Button(description="Read", layout=_size("5em"))
        samples = [("or a sample ...", None), *((name, name) for name in samples)]
        self.sample = widgets.Dropdown(options=samples, layout=_size("16em"))
        self.model = widgets.Dropdown(options=models, description="Model", **labelled)
        self.point = widgets.Dropdown(options=[OWN_POINT], description="Operating point", **labelled)
        self.threshold = widgets.FloatSlider(
            min=0,
            max=1,
            step=0.001,
            readout_format=".3f",
            continuous_update=False,
            description="Threshold",
            **labelled,
        )
        self.progress = widgets.IntProgress(layout=_size("12em"))
        self.status = widgets.HTML()
        self.table = widgets.HTML(layout=widgets.Layout(width="100%"))
        self.chosen = widgets.Dropdown(options=[], description="Show", layout=_size("34em"))
        self.film_view = FilmView()
        self.card = widgets.HTML()
        self.save_page = SaveButton("Save this film's page (HTML)", make_page)
        self.save_table = SaveButton("Save all answers (CSV)", make_table)
        self.clear = widgets.Button(description="Clear", layout=_size("6em"))
        self.answers = self._lay_out_answers()
        self.box = self._lay_out()

    def enable(self, is_on: bool) -> None:
        """Lets people use the controls, or shows that work is going on."""
        for part in vars(self).values():
            if hasattr(part, "disabled"):
                part.disabled = not is_on
        self.progress.layout.visibility = "hidden" if is_on else "visible"

    def _lay_out_answers(self) -> widgets.VBox:
        self.film_view.layout = widgets.Layout(
            flex="1 1 18em", min_width="0", max_width="34em", margin="0.5em"
        )
        self.card.layout = widgets.Layout(flex="1 1 18em", min_width="0", margin="0.5em")
        pair = _row(self.film_view, self.card, align_items="flex-start")
        return widgets.VBox(
            [self.table, self.chosen, pair, _row(self.save_page, self.save_table, self.clear)],
            layout=widgets.Layout(width="100%"),
        )

    def _lay_out(self) -> widgets.VBox:
        ways = [self.upload, self.path, self.read_path]
        ways += [self.sample] if len(self.sample.options) > 1 else []
        ways += [self.colab] if uploads.is_colab() else []
        return widgets.VBox(
            [
                widgets.HTML(STYLE + _NOTICE),
                self.drop_zone,
                _row(*ways),
                _row(self.model, self.point, self.threshold),
                _row(self.progress, self.status),
                self.answers,
            ],
            layout=widgets.Layout(width="100%", max_width="70em", margin="0 auto"),
        )
