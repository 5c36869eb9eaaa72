"""The upload panel of lesson 05: films go in; pictures, probabilities, decisions and pages come out."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

import ipywidgets as widgets

from pneumo_utils.app import widgets as uploads
from pneumo_utils.app.batch import format_answers
from pneumo_utils.app.cards import DISCLAIMER, STYLE, make_answer_table, make_card
from pneumo_utils.app.reader import FilmReader, Reading, encode_film, encode_saliency
from pneumo_utils.app.widgets import DropZone, FilmView, SaveButton
from pneumo_utils.data.folders import list_files
from pneumo_utils.errors import PneumoError

OWN_POINT = "own threshold"
INSIDE_ERROR = "something went wrong inside the program; please try another film."
_NOTICE = (
    f'<div class="pneumo-notice"><b>{DISCLAIMER}</b> Films stay in the memory of the computer that runs this '
    "and are gone when it is closed. Give no film of a real person to a computer that is not yours.</div>"
)


def _line(*parts, align_items: str = "center") -> widgets.Box:
    layout = {"flex_flow": "row wrap", "align_items": align_items, "width": "100%"}
    return widgets.Box(parts, layout=widgets.Layout(**layout))


def _column(*parts, **layout) -> widgets.VBox:
    return widgets.VBox(parts, layout=widgets.Layout(width="100%", **layout))


def _size(width: str) -> widgets.Layout:
    return widgets.Layout(width=f"min({width}, 98%)")


class Controls:
    """All widgets of the panel; `box` shows them."""

    def __init__(self, *, models: list[str], samples: list[str], on_films, make_table, make_page):
        labelled = {"style": {"description_width": "initial"}, "layout": _size("22em")}
        zero_to_one = {"min": 0, "max": 1, "step": 0.001, "readout_format": ".3f", "continuous_update": False}
        samples = [("or a sample ...", ""), *((name, name) for name in samples)]
        self.drop_zone = DropZone(on_films)
        self.upload = uploads.make_upload()
        self.colab = widgets.Button(description="Upload with Colab", layout=_size("12em"))
        self.path = widgets.Text(placeholder="or the path of a file or folder", layout=_size("20em"))
        self.read_path = widgets.Button(description="Read", layout=_size("5em"))
        self.sample = widgets.Dropdown(options=samples, layout=_size("16em"))
        self.model = widgets.Dropdown(options=models, description="Model", **labelled)
        self.point = widgets.Dropdown(options=[OWN_POINT], description="Operating point", **labelled)
        self.threshold = widgets.FloatSlider(description="Threshold", **zero_to_one, **labelled)
        own_layout = labelled | {"layout": _size("22em")}  # as it is hidden and shown by itself
        self.progress = widgets.IntProgress(description="One moment ...", **own_layout)
        self.status = widgets.HTML()
        self.table = widgets.HTML(layout=widgets.Layout(width="100%"))
        self.chosen = widgets.Dropdown(options=[], description="Show", layout=_size("34em"))
        beside = {"flex": "1 1 18em", "min_width": "0", "margin": "0.5em"}
        self.film_view = FilmView(layout=widgets.Layout(max_width="34em", **beside))
        self.card = widgets.HTML(layout=widgets.Layout(**beside))
        self.save_page = SaveButton("Save this film's page (HTML)", make_page)
        self.save_table = SaveButton("Save all answers (CSV)", make_table)
        self.clear = widgets.Button(description="Clear", layout=_size("6em"))
        self.answers = _column(
            self.table,
            self.chosen,
            _line(self.film_view, self.card, align_items="flex-start"),
            _line(self.save_page, self.save_table, self.clear),
        )
        self.box = self._lay_out().add_class("pneumo-panel")

    def enable(self, is_on: bool) -> None:
        """Lets people use the controls, or shows that work is going on; films can be dropped at any time."""
        for part in vars(self).values():
            if hasattr(part, "disabled"):
                part.disabled = not is_on
        self.progress.layout.visibility = "hidden" if is_on else "visible"

    def _lay_out(self) -> widgets.VBox:
        ways = [self.upload, self.path, self.read_path]
        ways += [self.sample] if len(self.sample.options) > 1 else []
        ways += [self.colab] if uploads.is_colab() else []
        return _column(
            widgets.HTML(STYLE + _NOTICE),
            self.drop_zone,
            _line(*ways),
            _line(self.model, self.point, self.threshold),
            _line(self.progress, self.status),
            self.answers,
            max_width="70em",
            margin="0 auto",
        )


class FilmPanel:
    """A film reader with a face: `box` is the widget to display; `samples` are films to try, by name."""

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
        self._run(self._show)
        self._connect()

    def take_films(self, films: Sequence[tuple[str, object]]) -> None:
        """Reads and answers films, each a name and what `load_image` takes, and shows the first of them."""
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
            (controls.point, lambda: self._decide(self.reader.points.get(controls.point.value))),
            (controls.threshold, lambda: self._decide(controls.threshold.value)),
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

    def _take_upload(self) -> None:
        films = uploads.read_upload(self.controls.upload)
        uploads.clear_upload(self.controls.upload)
        self.take_films(films)

    def _take_path(self) -> None:
        text = self.controls.path.value.strip().strip('"')  # in which Windows copies a path
        if not text:
            raise PneumoError("No path was given; type the path of a film, or of a folder of films.")
        paths, left_out = list_files([Path(text).expanduser()])
        if left_out:
            self._say(left_out)
        most = self.reader.max_films
        if len(paths) > most:
            self._say(
                f"The first {most} of {len(paths):,} files are read; for whole archives use "
                "`pneumo inference FOLDER --csv answers.csv`."
            )
        self._read_films([(path.name, path) for path in paths[:most]])

    def _take_sample(self) -> None:
        name = self.controls.sample.value
        if name:
            self.controls.sample.value = ""  # so that it can be chosen again
            self._read_films([(name, self.samples[name])])

    def _take_model(self) -> None:
        place = self.controls.chosen.value
        try:
            self.reader.choose_model(self.controls.model.value)
        finally:
            self.controls.model.value = self.reader.model_name  # the old one, if it cannot be loaded
        self._count(self.reader.answer_again(), len(self.reader.readings))
        self._show(place)

    def _decide(self, threshold: float | None) -> None:
        if threshold is not None:  # one's own threshold comes from the slider
            self.reader.choose_threshold(threshold)
        self._show(self.controls.chosen.value)

    def _clear(self) -> None:
        self.reader.readings = []
        self._show()

    def _read_films(self, films: Sequence[tuple[str, object]]) -> None:
        taken = [reading for reading in self._count(map(self._read, films), len(films)) if reading]
        self._show(max(0, len(self.reader.readings) - len(taken)) if taken else None)

    def _read(self, film: tuple[str, object]) -> Reading | None:
        try:
            return self.reader.read(*film)
        except Exception:  # one film that fails must not take the others with it
            logging.getLogger(__name__).exception("the film %s failed", film[0])
            self._say(f"{film[0]}: {INSIDE_ERROR}")
            return None

    def _count(self, steps: Iterable, total: int) -> list:
        progress, done = self.controls.progress, []
        progress.value, progress.max = 0, max(1, total)
        for step in steps:
            done.append(step)
            progress.value += 1
        return done

    def _show(self, place: int | None = None) -> None:
        """Shows all that the reader holds, and the film in that place; the first if None."""
        reader, controls = self.reader, self.controls
        points, readings = reader.points, reader.readings
        controls.point.options = [*points, OWN_POINT]
        at = (name for name, value in points.items() if value == reader.threshold)
        controls.point.value = next(at, OWN_POINT)
        controls.threshold.value = reader.threshold
        controls.chosen.options = [(f"{n}. {r.name}", n - 1) for n, r in enumerate(readings, start=1)]
        controls.chosen.value = (place or 0) if readings else None
        controls.table.value = make_answer_table([reading.prediction for reading in readings])
        controls.answers.layout.display = None if readings else "none"
        for part in (controls.chosen, controls.table):
            part.layout.display = None if len(readings) > 1 else "none"
        self._show_chosen()

    def _show_chosen(self) -> None:
        place, view = self.controls.chosen.value, self.controls.film_view
        if place is None:
            self.controls.card.value = ""
            return view.show("", None)
        reading = self.reader.readings[place]
        self.controls.card.value = make_card(reading.prediction, refer_range=self.reader.refer_range)
        film = None if reading.picture is None else encode_film(reading.picture)
        if film is None or reading.saliency is None:
            view.show(reading.name, film)  # the map takes longer
        if (saliency := self.reader.explain(reading)) is not None:
            view.show(reading.name, film, encode_saliency(saliency))

    def _make_table_file(self) -> tuple[str, str, str]:
        table = format_answers(reading.prediction for reading in self.reader.readings)
        return "answers.csv", "text/csv", table

    def _make_page_file(self) -> tuple[str, str, str]:
        reading = self.reader.readings[self.controls.chosen.value]
        return f"{Path(reading.name).stem or 'film'}.html", "text/html", self.reader.make_page(reading)
