"""What all figures share: style, title, the mark of phantoms, and a text that says what they show."""

import base64
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pneumo_utils.config import Folders
from pneumo_utils.course import run_lesson
from pneumo_utils.plots import evaluation, films, training
from pneumo_utils.plots.style import STYLE, describe_figure, save_figure, show_figure, styled
from tools.store_lessons import store_outputs

pytestmark = pytest.mark.usefixtures("closed_figures")

CELL = """\
import matplotlib.pyplot as plt
from pneumo_utils.plots import style
for title, show in zip(("first & <b>", "second", "second"), [style.show_figure] * 2 + [plt.show]):
    figure, axes = plt.subplots(figsize=(3, 2), dpi=60)
    axes.plot([1, 2])
    axes.set(title=title, xlabel="epoch", ylabel="loss")
    show(*[figure][: show is style.show_figure])
    print(len(plt.get_fignums()))"""


@styled
def plot_panels(number, *, name=""):
    """As many empty charts."""
    figure, axes = plt.subplots(1, number, squeeze=False)
    axes[0, 0].set_title(name)
    return figure


def test_one_chart_has_its_title_above_it_and_more_have_one_above_all():
    (single,) = plot_panels(1, title="t").axes
    assert single.get_title() == "t"
    pair = plot_panels(2, title="t")
    assert pair.get_suptitle() == "t" and not any(axis.get_title() for axis in pair.axes)
    named = plot_panels(1, name="of the panel", title="t")
    assert named.get_suptitle() == "t" and named.axes[0].get_title() == "of the panel"
    assert plot_panels(2).get_suptitle() == ""


def test_phantoms_are_marked():
    assert plot_panels(1, title="t", synthetic=True).axes[0].get_title() == "SYNTHETIC: t"
    assert plot_panels(2, title="t", synthetic=True).get_suptitle() == "SYNTHETIC: t"
    assert plot_panels(2, synthetic=True).get_suptitle() == "SYNTHETIC films"


def test_the_style_is_that_of_the_figure_alone():
    before = plt.rcParams["axes.spines.top"]
    assert before != STYLE["axes.spines.top"]
    assert plot_panels(1).axes[0].spines.top.get_visible() == STYLE["axes.spines.top"]
    assert plt.rcParams["axes.spines.top"] == before


def test_every_figure_of_the_room_has_title_and_mark():
    plots = {
        name: plot
        for module in (films, evaluation, training)
        for name, plot in vars(module).items()
        if name.startswith(("plot_", "show_"))
    }
    assert len(plots) >= 24
    for name, plot in plots.items():
        assert list(inspect.signature(plot).parameters)[-2:] == ["title", "synthetic"], name


def test_a_figure_is_written_as_png(tmp_path):
    path = save_figure(plot_panels(1, title="t"), tmp_path / "new" / "f.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_chart_is_described_by_its_title_axes_and_legend():
    figure, axes = plt.subplots()
    axes.plot([1, 2], label="train")
    axes.plot([1, 2], label="validation")
    axes.set(title="CNN: loss", xlabel="epoch", ylabel="loss,\nsmoothed")
    axes.legend(title="curves")
    expected = "CNN: loss: chart of loss, smoothed over epoch. Legend (curves): train; validation"
    assert describe_figure(figure) == expected


def test_bars_are_described_with_their_names_and_the_numbers_written_on_them():
    figure, axes = plt.subplots()
    axes.bar_label(axes.bar([0, 1], [15, 20]))
    axes.set_xticks([0, 1], ["train", "test"])
    axes.set_ylabel("films")
    assert describe_figure(figure) == "chart of films over train, test. Written in it: 15; 20"


def test_pictures_are_counted_and_so_are_equal_titles():
    figure, axes = plt.subplots(2, 3)
    figure.suptitle("Six films")
    for axis, title in zip(axes.flat, ("ill", "ill", "well", "ill", "", ""), strict=True):
        axis.imshow(np.zeros((2, 2)))
        axis.set_title(title, loc="left")
    assert describe_figure(figure) == "Six films. 6 pictures: 3 x ill; well"


def test_a_colour_scale_and_a_legend_of_the_figure_are_named_and_empty_axes_are_not():
    figure, (left, right) = plt.subplots(1, 2)
    right.axis("off")
    figure.colorbar(left.imshow(np.zeros((2, 2))), ax=left).set_label("kelvin")
    left.plot([0, 1], [0, 1], label="edge")
    figure.legend()
    assert describe_figure(figure) == "Picture. Colours: kelvin. Legend: edge"


def test_powers_of_ten_are_no_words():
    figure, axes = plt.subplots()
    axes.loglog([1e-5, 1e-1], [1, 100])
    axes.set(xlabel="learning rate", ylabel="loss")
    assert describe_figure(figure) == "chart of loss over learning rate"


def test_a_long_description_is_cut_between_words():
    figure, axes = plt.subplots()
    axes.plot([1])
    axes.set_title("word " * 200)
    text = describe_figure(figure)
    assert 480 < len(text) <= 500 and text.endswith("word ...")


def test_outside_a_notebook_it_is_shown_as_matplotlib_does_and_closed(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    figure, _ = plt.subplots()
    show_figure(figure)
    assert shown == [figure.number] and plt.get_fignums() == []


@pytest.mark.system
def test_in_a_lesson_every_figure_has_its_alt_text_here_in_html_and_as_stored(tmp_path):
    import nbformat
    from nbconvert import HTMLExporter

    lesson, target = tmp_path / "notebooks" / "01_a.ipynb", tmp_path / "build" / "01_a.ipynb"
    lesson.parent.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)]), lesson)
    run_lesson(lesson, target)
    texts = [f"{title}: chart of loss over epoch" for title in ("first & <b>", "second")]
    escaped = [text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for text in texts]

    outputs = nbformat.read(target, as_version=4).cells[0].outputs
    assert "".join(output.text for output in outputs if "text" in output) == "0\n" * 3  # none is left open
    *figures, plain = (output for output in outputs if "data" in output)
    assert figures[1].data["image/png"] == plain.data["image/png"]  # the size and dpi of plt.show()
    for output, text, in_html in zip(figures, texts, escaped, strict=True):
        png = output.data["image/png"].strip()
        width = round(int.from_bytes(base64.b64decode(png)[16:20], "big") * 96 / 60)  # at the cell's dpi
        assert output.metadata == {"image/png": {"alt": text, "width": width}}
        assert output.data["text/plain"] == text
        start = f'<img alt="{in_html}" width="{width}" src="data:image/png;base64,'
        assert output.data["text/html"] == f'{start}{png}">'
        assert base64.b64decode(png).startswith(b"\x89PNG")
    page = target.with_suffix(".html").read_text(encoding="utf-8")
    assert [page.count(f'alt="{text}"') for text in escaped] == [1, 1]

    store_outputs({target: 60.0}, Folders(tmp_path))
    stored, (page, _) = nbformat.read(lesson, as_version=4), HTMLExporter().from_filename(lesson)
    outputs = [o for o in stored.cells[0].outputs if "data" in o][:2]
    assert [output.metadata["image/png"]["alt"] for output in outputs] == texts
    assert [page.count(f'alt="{text}"') for text in escaped] == [1, 1]  # by nbconvert as it is
