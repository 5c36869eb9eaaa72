"""Every lesson keeps to the same anatomy and budgets, and says nothing about the machine it ran on."""

import ast
import itertools
import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from lessons import SETUP, list_solutions, make_badge

from pneumo_utils import config
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation import metrics
from pneumo_utils.plots.style import MAX_ALT_LENGTH

ROOT = Path(__file__).resolve().parents[1]
LESSONS = (
    "01_data_exploration.ipynb",
    "02_train_cnn.ipynb",
    "03_train_resnet.ipynb",
    "04_evaluate_and_compare.ipynb",
    "05_interactive_inference.ipynb",
)
FOUND = tuple(sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb")))
ON_COLAB = {"torch", "torchvision", "numpy", "scikit-learn", "pillow", "matplotlib", "seaborn", "tqdm"}
ON_COLAB |= {"accelerate", "safetensors", "scipy", "statsmodels", "requests", "jupyterlab", "ipywidgets"}
ON_COLAB |= {"jinja2", "pandas", "tifffile", "filelock", "timm"}
"""What Colab has, or in place of JupyterLab is."""
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.])/(?:home|root|work|tmp|Users|mnt|opt|var|usr|content)/|(?<!\w)[A-Za-z]:\\"
)
MAX_CELLS, MIN_CELLS = 70, 25
MAX_CODE_LINES, MAX_CELL_LINES, MAX_TEXT_LINES = 260, 15, 40
MAX_BYTES = 2_500_000
MIN_ALT = 12  # characters; "Picture" alone tells nobody anything
COPIED_LINES = 6


class Lesson:
    """One notebook with what the tests ask of it."""

    def __init__(self, name: str):
        self.name = name
        self.path = ROOT / "notebooks" / name
        self.notebook = nbformat.read(self.path, as_version=4)
        self.cells = self.notebook.cells
        self.markdown = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        self.code = [cell.source for cell in self.cells if cell.cell_type == "code"]
        self.outputs = [out for cell in self.cells if cell.cell_type == "code" for out in cell.outputs]

    @property
    def trees(self) -> list[ast.Module]:
        """The code cells, parsed; lines that IPython alone understands are left out."""
        return [ast.parse(re.sub(r"(?m)^(\s*)[!%].*$", r"\1pass", source)) for source in self.code]

    def nodes(self, kind) -> list:
        """All nodes of a kind in the code."""
        return [node for tree in self.trees for node in ast.walk(tree) if isinstance(node, kind)]

    def section(self, title: str) -> str:
        """The Markdown from a heading to the next heading of the same level."""
        text = "\n\n".join(self.markdown)
        start = text.index(f"## {title}\n")
        following = re.search(r"(?m)^## ", text[start + 3 :])
        return text[start : start + 3 + following.start()] if following else text[start:]


@pytest.fixture(params=FOUND)
def lesson(request) -> Lesson:
    return Lesson(request.param)


def count_lines(source: str) -> int:
    """Lines of code: neither blank nor only a comment."""
    lines = (line.strip() for line in source.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def list_texts(output) -> list[str]:
    """The plain texts of an output, as a reader sees them; pictures and their markup are no text."""
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return ["\n".join(output.traceback)]
    return [text for mime, text in output.data.items() if mime in ("text/plain", "text/markdown")]


def test_these_are_the_lessons():
    assert FOUND == LESSONS


def test_it_is_a_valid_notebook_with_cell_ids(lesson):
    nbformat.validate(lesson.notebook)
    assert (lesson.notebook.nbformat, lesson.notebook.nbformat_minor) >= (4, 5)
    ids = [cell.id for cell in lesson.cells]
    assert len(set(ids)) == len(ids)


def test_it_opens_with_badge_title_and_purpose(lesson):
    lines = [line for line in lesson.cells[0].source.splitlines() if line]
    assert lines[0] == make_badge(lesson.name)
    assert re.fullmatch(rf"# {lesson.name[:2]} - \S.*", lines[1])
    assert "?" in lines[2]
    assert "For teaching, never for diagnosis." in lines[3:]


def test_it_says_what_is_learnt_needed_and_how_long_it_takes(lesson):
    text = lesson.cells[1].source
    places = [text.index(f"**{word}**") for word in ("You will learn", "You need", "Time")]
    assert places == sorted(places)
    learnt = re.findall(r"(?m)^- ", text[places[0] : places[1]])
    assert 3 <= len(learnt) <= 4


def test_set_up_imports_and_configuration_come_first(lesson):
    setup, imports, settings = lesson.cells[2:5]
    assert [cell.cell_type for cell in (setup, imports, settings)] == ["code"] * 3
    assert setup.source == SETUP
    assert all(isinstance(line, (ast.Import, ast.ImportFrom)) for line in ast.parse(imports.source).body)
    calls = ("runtime.set_seed(", "config.default_folders()", "sources.choose_data()")
    calls += ("runtime.show_banner(choice.sentence)",)
    assert [call for call in calls if call not in settings.source] == []


def test_all_imports_stand_at_the_top_and_take_no_star(lesson):
    assert lesson.code[0] == SETUP
    later = [ast.unparse(node) for tree in lesson.trees[2:] for node in ast.walk(tree) if is_import(node)]
    assert later == []
    stars = [node for node in lesson.nodes(ast.ImportFrom) if any(name.name == "*" for name in node.names)]
    assert stars == []


def is_import(node) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))


def test_the_packages_modules_are_imported_as_namespaces_but_for_plots(lesson):
    for node in lesson.nodes(ast.ImportFrom):
        if node.module.startswith("pneumo_utils") and ".plots" not in node.module:
            folder = ROOT.joinpath(*node.module.split("."))
            places = {n.name: (folder / f"{n.name}.py", folder / n.name / "__init__.py") for n in node.names}
            assert [name for name, files in places.items() if not any(f.is_file() for f in files)] == []


def test_sections_are_numbered_and_end_as_they_should(lesson):
    headings = re.findall(r"(?m)^## (.+)$", "\n".join(lesson.markdown))
    numbered, end = headings[:-3], headings[-3:]
    assert end == ["Limits", "Summary", "Exercises"]
    assert 3 <= len(numbered) <= 6
    assert [title.split(". ")[0] for title in numbered] == [str(n + 1) for n in range(len(numbered))]
    assert lesson.cells[-1].cell_type == "markdown"


def test_three_exercises_have_their_solutions_folded_away(lesson):
    text = lesson.section("Exercises")
    assert re.findall(r"(?m)^\**(\d)\.", text) == ["1", "2", "3"]
    first = text.split("2.**")[0]
    assert "predict, then run" in first.lower()
    assert text.count("<details><summary>Solution</summary>") == text.count("</details>") == 3
    solutions = list_solutions(lesson)
    assert len(solutions) == 3
    assert max(len(line) for code in solutions for line in code.splitlines()) <= 100


def test_a_solution_gives_no_name_of_the_lesson_another_meaning(lesson):
    solved = set().union(*(list_bound(ast.parse(code)) for code in list_solutions(lesson)))
    own = set().union(*map(list_bound, lesson.trees[1:]))
    assert solved & own <= {"figure"}  # every cell draws its own


def list_bound(tree: ast.Module) -> set[str]:
    """The names that code assigns, counts through or imports."""
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {a.asname or a.name for n in ast.walk(tree) if is_import(n) for a in n.names}


def test_the_summary_names_the_next_lesson(lesson):
    following = LESSONS.index(lesson.name) + 1
    if following < len(LESSONS):
        assert f"({LESSONS[following]})" in lesson.section("Summary")


def test_every_section_is_introduced_and_every_result_read(lesson):
    kinds = [cell.cell_type for cell in lesson.cells[5:]]
    assert ("code", "code") not in set(itertools.pairwise(kinds))


def test_it_keeps_to_its_budgets(lesson):
    assert MIN_CELLS <= len(lesson.cells) <= MAX_CELLS
    assert 1 <= len(lesson.markdown) / len(lesson.code) <= 1.6
    assert sum(map(count_lines, lesson.code[1:])) <= MAX_CODE_LINES  # all share the set-up cell
    too_long = [source for source in (SETUP, *lesson.code[2:]) if count_lines(source) > MAX_CELL_LINES]
    assert too_long == []
    assert max(len(line) for source in lesson.code for line in source.splitlines()) <= 100
    assert lesson.path.stat().st_size <= MAX_BYTES


def test_it_defines_next_to_nothing(lesson):
    assert len(lesson.nodes((ast.FunctionDef, ast.AsyncFunctionDef))) <= 2
    assert lesson.nodes(ast.ClassDef) == []


def test_it_repeats_no_code_of_the_package(lesson):
    known = {}
    for path in sorted((ROOT / "pneumo_utils").rglob("*.py")):
        for block in list_blocks(path.read_text(encoding="utf-8")):
            known.setdefault(block, path.name)
    copied = [known[block] for source in lesson.code for block in list_blocks(source) if block in known]
    assert copied == []


def list_blocks(source: str) -> list[tuple[str, ...]]:
    """Each run of consecutive lines, blank ones and comments left out, indentation ignored."""
    lines = [line.strip() for line in source.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return [tuple(lines[i : i + COPIED_LINES]) for i in range(len(lines) - COPIED_LINES + 1)]


@pytest.mark.parametrize("name", LESSONS)
def test_only_lesson_04_judges_models_on_the_test_split(name):
    lesson = Lesson(name)
    words = {node.value for node in lesson.nodes(ast.Constant)}
    if name in ("02_train_cnn.ipynb", "03_train_resnet.ipynb", "05_interactive_inference.ipynb"):
        assert "test" not in words
    elif name == "04_evaluate_and_compare.ipynb":
        assert "test" in words
    else:  # lesson 01 counts test films, and has no model that could be judged on them
        assert "pneumo_utils.models" not in {node.module for node in lesson.nodes(ast.ImportFrom)}


def test_colab_gets_packages_that_the_project_needs():
    lines = (ROOT / "notebooks" / "colab.txt").read_text(encoding="utf-8").splitlines()[1:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.match(r"[\w-]+", line).group() for line in project["dependencies"]}
    assert set(lines) - needed == {"psygnal", "flatbuffers"}  # of anywidget and onnxruntime
    assert needed - set(lines) <= ON_COLAB


def test_no_absolute_path_is_shown(lesson):
    texts = [cell.source for cell in lesson.cells]
    for output in lesson.outputs:
        texts += list_texts(output)
        if output.output_type not in ("stream", "error"):
            texts += [text for mime, text in output.data.items() if mime == "text/html"]
    assert [match.group() for text in texts for match in ABSOLUTE_PATH.finditer(text)] == []


def test_outputs_hold_no_error_and_nothing_from_stderr(lesson):
    bad = [out for out in lesson.outputs if out.output_type == "error" or out.get("name") == "stderr"]
    assert bad == []


def test_no_text_output_is_long(lesson):
    counts = [len(text.splitlines()) for output in lesson.outputs for text in list_texts(output)]
    assert max(counts, default=0) <= MAX_TEXT_LINES


def test_every_figure_has_alt_text(lesson):
    assert [source for source in lesson.code if ".show()" in source] == []
    shown = [node for node in lesson.nodes(ast.Call) if ast.unparse(node.func) == "show_figure"]
    figures = [output for output in lesson.outputs if "image/png" in output.get("data", {})]
    assert len(figures) >= len(shown) > 0, "run the lessons again: make notebooks"
    texts = [output.metadata.get("image/png", {}).get("alt", "") for output in figures]
    assert [text for text in texts if not MIN_ALT <= len(text) <= MAX_ALT_LENGTH] == []
    assert len(set(texts)) > len(texts) / 2
    assert [output for output in figures if "text/html" in output.data] == []  # the figure a second time


def test_the_metadata_say_python_and_no_more(lesson):
    assert set(lesson.notebook.metadata) == {"kernelspec", "language_info"}
    assert lesson.notebook.metadata.kernelspec.name == "python3"
    assert all(set(cell.metadata) <= {"tags"} for cell in lesson.cells)
    assert "application/vnd.jupyter.widget-state+json" not in json.dumps(lesson.notebook)


def test_it_was_run_top_to_bottom_or_not_at_all(lesson):
    counts = [cell.execution_count for cell in lesson.cells if cell.cell_type == "code"]
    assert counts in ([None] * len(counts), list(range(1, len(counts) + 1)))
    if counts[0] is None:
        assert lesson.outputs == []


def run_cell(name: str, containing: str, **known) -> None:
    """Executes the one cell of a lesson that has these words, in the place of all cells before it."""
    (source,) = [source for source in Lesson(name).code if containing in source]
    exec(compile(source, name, "exec"), known)


def test_lesson_04_goes_on_where_a_model_is_wrong_on_no_film(capsys):
    films = make_phantoms(8, image_size=32)
    said = metrics.Predictions(films.labels, 0.1 + 0.8 * films.labels, films.patients, films.names)
    model = SimpleNamespace(build_model=lambda: None, transform=None)
    maps = SimpleNamespace(compute_saliency=lambda network, images, transform: np.zeros((8, 4, 4)))
    known = {"chosen": "net", "trained": {"net": model}, "row": {"threshold": 0.5}, "config": config}
    known |= {
        "films": {("net", "test"): films},
        "predictions": {("net", "test"): said},
    }
    known |= {"metrics": metrics, "saliency": maps, "show_saliency": pytest.fail}
    run_cell("04_evaluate_and_compare.ipynb", "choose_worst", **known)
    assert capsys.readouterr().out == "net is right on all 8 test films: there is no error to look at.\n"


def test_lesson_05_goes_on_where_no_film_goes_to_a_person(capsys):
    judged = SimpleNamespace(probs=np.array([0.1, 0.9]), labels=np.array([0, 1]))
    reader = SimpleNamespace(FilmReader=lambda models: SimpleNamespace(refer_range=(0.4, 0.6)))
    known = {"judged": judged, "reader": reader, "trained": SimpleNamespace(threshold=0.5)}
    run_cell("05_interactive_inference.ipynb", "refer_range\nreferred", **known)
    assert capsys.readouterr().out.endswith("wrong among those (no films), among the others 0.0%\n")
