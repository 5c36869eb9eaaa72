"""The upload panel of lesson 05: films go in; pictures, probabilities, decisions and pages come out."""

import logging
import threading
from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets as widgets

from pneumo_utils.app import widgets as uploads
from pneumo_utils.app.cards import DISCLAIMER, STYLE, make_answer_table, make_card
from pneumo_utils.app.reader import FilmReader, Reading, encode_film, encode_saliency
from pneumo_utils.app.widgets import DropZone, FilmView, SaveButton
from pneumo_utils.data.folders import list_files
from pneumo_utils.errors import PneumoError

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
        self.progress = widgets.IntProgress(
            description="One moment ...", **labelled | {"layout": _size("22em")}
        )
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
        """Lets people use the controls, or shows that work is going on; films can be dropped at any time."""
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


INSIDE_ERROR = "something went wrong inside the program; please try another film."


class FilmPanel:
    """A film reader with a face.

    Args:
        reader: Does the work.
        samples: Films to try by name, as `load_image` takes them.

    Attributes:
        controls: Every widget.
        box: The one to display.
    """

    def __init__(self, reader: FilmReader, *, samples: dict[str, object] | None = None):
        self.reader, self.samples = reader, samples or {}
        self._turn, self._is_busy = threading.RLock(), False
        self.controls = Controls(
            models=list(reader.models),
            samples=list(self.samples),
            on_films=self.take_films,
            make_table=self._make_table_file,
            make_page=self._make_page_file,
        )
        self.box = self.controls.box
        self._run(self._show_everything)
        self._connect()

    def take_films(self, films: list[tuple[str, object]]) -> None:
        """Reads and answers films, and shows the first of them.

        Args:
            films: Name and source of each, as `load_image` takes them.
        """
        self._run(lambda: self._read_films(films))

    def _connect(self) -> None:
        controls = self.controls
        uploads.observe_upload(controls.upload, self._take_upload)
        for button, action in (
            (controls.colab, lambda: self._read_films(uploads.upload_on_colab())),
            (controls.read_path, self._take_path),
            (controls.clear, self._clear),
        ):
            button.on_click(lambda _button, action=action: self._run(action))
        for control, action in (
            (controls.sample, self._take_sample),
            (controls.model, self._take_model),
            (controls.point, self._take_point),
            (controls.threshold, self._take_threshold),
            (controls.chosen, self._show_chosen),
        ):
            control.observe(lambda _change, action=action: self._run(action), names="value")

    def _run(self, action: Callable[[], None]) -> None:
        """Does what a control asks for, with the others switched off; whatever goes wrong is said."""
        with self._turn:  # cells and widgets have threads of their own in JupyterLab: one waits for the other
            if self._is_busy:  # the same thread: the panel itself has changed the control
                return
            self._is_busy = True
            self.controls.status.value = ""
            self.controls.enable(False)
            try:
                action()
            except PneumoError as error:
                self._say(str(error))
            except Exception:  # the panel lives on, and the log keeps the cause
                logging.getLogger(__name__).exception("the upload panel failed")
                self._say(INSIDE_ERROR.capitalize())
            finally:
                self.controls.enable(True)
                self._is_busy = False

    def _say(self, text: str) -> None:
        self.controls.status.value += f"<p style='margin: 0; line-height: 1.4'>{escape(text)}</p>"

    # --- what people ask for ----------------------------------------------------------------------------

    def _take_upload(self) -> None:
        films = uploads.read_upload(self.controls.upload)
        uploads.clear_upload(self.controls.upload)
        self.take_films(films)

    def _take_path(self) -> None:
        text = self.controls.path.value.strip()
        if not text:
            raise PneumoError("No path was given; type the path of a film, or of a folder of films.")
        paths, left_out = list_files([Path(text).expanduser()])
        if left_out:
            self._say(left_out)
        if len(paths) > self.reader.max_films:
            self._say(
                f"The first {self.reader.max_films} of {len(paths):,} files are read; for whole archives use "
                "`pneumo inference FOLDER --csv answers.csv`."
            )
        self._read_films([(path.name, path) for path in paths[: self.reader.max_films]])

    def _take_sample(self) -> None:
        name = self.controls.sample.value
        if name is not None:
            self.controls.sample.value = None  # so that it can be chosen again
            self._read_films([(name, self.samples[name])])

    def _take_model(self) -> None:
        place = self.controls.chosen.value
        try:
            self.reader.choose_model(self.controls.model.value)
        finally:
            self.controls.model.value = self.reader.model_name  # the old one, if it cannot be loaded
        self._count(self.reader.answer_again(), len(self.reader.readings))
        self._show_everything(None if place is None else self.reader.readings[place])

    def _take_point(self) -> None:
        if self.controls.point.value != OWN_POINT:
            self._decide(self.reader.points[self.controls.point.value])

    def _take_threshold(self) -> None:
        self._decide(self.controls.threshold.value)

    def _decide(self, threshold: float) -> None:
        self.reader.choose_threshold(threshold)
        self._show_threshold()
        self._show_table()
        self._show_chosen()

    def _clear(self) -> None:
        self.reader.clear()
        self._show_readings()

    # --- the work ---------------------------------------------------------------------------------------

    def _read_films(self, films: list[tuple[str, object]]) -> None:
        taken = list(self._count(map(self._read, films), len(films)))
        good = [reading for reading in taken if reading is not None]
        self._show_readings(good[0] if good else None)

    def _read(self, film: tuple[str, object]) -> Reading | None:
        try:
            return self.reader.read(*film)
        except Exception:  # one film that fails must not take the others with it
            logging.getLogger(__name__).exception("the film %s failed", film[0])
            self._say(f"{film[0]}: {INSIDE_ERROR}")
            return None

    def _count(self, steps, total: int) -> list:
        """Goes through steps and moves the progress bar with each."""
        progress, done = self.controls.progress, []
        progress.value, progress.max = 0, max(1, total)
        for step in steps:
            done.append(step)
            progress.value += 1
        return done

    # --- what people see --------------------------------------------------------------------------------

    def _show_everything(self, shown: Reading | None = None) -> None:
        self.controls.point.options = [*self.reader.points, OWN_POINT]
        self._show_threshold()
        self._show_readings(shown)

    def _show_threshold(self) -> None:
        threshold = self.reader.threshold
        at = [name for name, value in self.reader.points.items() if value == threshold]
        self.controls.point.value = at[0] if at else OWN_POINT
        self.controls.threshold.value = threshold

    def _show_readings(self, shown: Reading | None = None) -> None:
        readings, controls = self.reader.readings, self.controls
        controls.chosen.options = [(f"{n}. {r.name}", n - 1) for n, r in enumerate(readings, start=1)]
        places = [place for place, reading in enumerate(readings) if reading is shown]
        controls.chosen.value = places[0] if places else (0 if readings else None)
        controls.answers.layout.display = None if readings else "none"
        for part in (controls.chosen, controls.table):
            part.layout.display = None if len(readings) > 1 else "none"
        self._show_table()
        self._show_chosen()

    def _show_table(self) -> None:
        self.controls.table.value = make_answer_table([r.prediction for r in self.reader.readings])

    def _show_chosen(self) -> None:
        reading, view = self._find_chosen(), self.controls.film_view
        if reading is None:
            self.controls.card.value = ""
            view.show("", None)
            return
        self.controls.card.value = make_card(reading.prediction, refer_range=self.reader.refer_range)
        if reading.picture is None:
            view.show(reading.name, None)
            return
        film = encode_film(reading.picture)
        if reading.saliency is None:
            view.show(reading.name, film)  # the map takes longer
        view.show(reading.name, film, encode_saliency(self.reader.explain(reading)))

    def _find_chosen(self) -> Reading | None:
        place = self.controls.chosen.value
        return None if place is None else self.reader.readings[place]

    # --- files to save ----------------------------------------------------------------------------------

    def _make_table_file(self) -> tuple[str, str, bytes]:
        return "answers.csv", "text/csv", self.reader.make_table().encode("utf-8", "replace")

    def _make_page_file(self) -> tuple[str, str, bytes] | None:
        reading = self._find_chosen()
        if reading is None:
            return None
        page = self.reader.make_page(reading).encode("utf-8", "replace")
        return f"{Path(reading.name).stem or 'film'}.html", "text/html", page
