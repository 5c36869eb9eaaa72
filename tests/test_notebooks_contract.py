"""Every lesson keeps to the same anatomy and budgets, and says nothing about the machine it ran on."""

import ast
import itertools
import json
import re
from html import escape
from pathlib import Path

import nbformat
import pytest
from lessons import ADDRESS, SETUP, find_cell, list_solutions, make_badge

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
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.])/(?:home|root|work|tmp|Users|mnt|opt|var|usr|content)/|(?<!\w)[A-Za-z]:\\"
)
MAX_CELLS, MIN_CELLS = 70, 25
MAX_CODE_LINES, MAX_CELL_LINES, MAX_TEXT_LINES = 260, 15, 40
MAX_BYTES = 2_500_000
MAX_WORDS = 80  # of a Markdown cell
MIN_ALT = 12  # characters; "Picture" alone tells nobody anything
LAST_SECTIONS = ("Limits", "Summary", "Questions", "Exercises", "To read on", "Help")
FOLD = re.compile(r"(?s)<details>.*?</details>")
RESULT = re.compile(r"(?<![\w.,/-])(?:\d[\d.,]*\s?%|0?\.\d{3,}|\d{3}\b(?![\w.,-]*\d)|\d{1,3}(?:,\d{3})+)")
"""A number that looks measured: with a percent sign, or of three digits."""
NO_RESULT = re.compile(r"^(?:95 %|1,000)$")
SIZE = re.compile(r"^(?:[ -]?px|[ -]pixels?|[ -]x |[ -]grey levels?|[ -]KB|[ -]MB)")
SOURCE = re.compile(r"et al\.|doi|arXiv|\]\(http|[12][09]\d\d\)")
"""What a paragraph with facts of others names: their paper, or the place where it is written."""


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
    words = ("You will learn", "You need", "Time", "Reading", "Contents")
    places = [text.index(f"**{word}**") for word in words]
    assert places == sorted(places)
    assert "**Recap**" in lesson.cells[5].source
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


def list_titles(lesson) -> list[str]:
    """The headings of the second level."""
    return re.findall(r"(?m)^## (.+)$", "\n".join(lesson.markdown))


def test_sections_are_numbered_and_end_as_they_should(lesson):
    numbered, end = list_titles(lesson)[:-6], list_titles(lesson)[-6:]
    assert tuple(end) == LAST_SECTIONS
    assert 3 <= len(numbered) <= 6
    assert [title.split(". ")[0] for title in numbered] == [str(n + 1) for n in range(len(numbered))]
    assert lesson.cells[-1].cell_type == "markdown"


def test_the_contents_lead_to_every_section_in_jupyterlab_and_nbconvert(lesson):
    links = dict(re.findall(r"\[([^]]+)\]\(#([^)]+)\)", lesson.cells[1].source))
    assert links == {title: title.replace(" ", "-") for title in list_titles(lesson) if title in links}
    assert set(list_titles(lesson)[:-6]) | {"Exercises"} <= set(links)
    assert [
        title for title in links if re.search(r"[^\w .-]", title)
    ] == []  # an address would write it otherwise


def test_three_exercises_have_a_place_to_answer_a_check_and_a_folded_solution(lesson):
    text = lesson.section("Exercises")
    assert re.findall(r"(?m)^\*\*(\d)\. ", text) == ["1", "2", "3"]
    assert "predict, then run" in text.split("**2. ")[0].lower()
    assert text.count("<details><summary>Solution</summary>") == text.count("</details>") == 3
    assert "open project" in text.lower()
    solutions = list_solutions(lesson)
    assert len(solutions) == 3
    assert max(len(line) for code in solutions for line in code.splitlines()) <= 100
    for number, solution in enumerate(solutions, start=1):
        place, check = (find_cell(lesson, f"{kind}-{number}") for kind in ("exercise", "check"))
        (line,) = [line for line in place.source.splitlines() if not line.startswith("#")]
        assert line == f"answer_{number} = ..."
        assert lesson.cells.index(check) == lesson.cells.index(place) + 1
        assert check.source.startswith("exercises.check_answer(")
        assert f"answer_{number}" in check.source and re.search(rf"(?m)^\s*answer_{number} = ", solution)


def test_three_questions_have_their_answers_folded_away(lesson):
    text = lesson.section("Questions")
    assert re.findall(r"(?m)^\*\*(\d)\. ", text) == ["1", "2", "3"]
    assert text.count("<details><summary>Answer</summary>") == text.count("</details>") == 3


def test_it_leads_on_to_what_can_be_read_and_to_help(lesson):
    assert 5 <= len(re.findall(r"\]\(https?://", lesson.section("To read on"))) <= 8
    assert f"{ADDRESS}/issues" in lesson.section("Help")
    assert "(glossary.md#" in "\n".join(lesson.markdown)


def list_prose(lesson) -> list[str]:
    """The Markdown cells between the contents and the limits, without what is folded."""
    text = [FOLD.sub("", source) for source in lesson.markdown[2:]]
    return text[: next(n for n, source in enumerate(text) if source.startswith("## Limits"))]


def test_a_cell_of_prose_is_short(lesson):
    counts = {text: len(re.sub(r"\]\([^)]*\)|`[^`]*`", "]", text).split()) for text in list_prose(lesson)}
    assert {text: count for text, count in counts.items() if count > MAX_WORDS} == {}


def find_typed_results(text: str) -> list[str]:
    """Numbers in Markdown that look measured and stand in a paragraph that names no source of others."""
    found = []
    for paragraph in re.split(r"\n\s*\n", FOLD.sub("", text)):
        prose = re.sub(r"`[^`]*`|\]\([^)]*\)|<[^>]*>", " ", paragraph)
        numbers = [] if SOURCE.search(paragraph) else RESULT.finditer(prose)
        found += [n[0] for n in numbers if not (NO_RESULT.match(n[0]) or SIZE.match(prose[n.end() :]))]
    return found


def test_no_result_is_typed(lesson):
    assert find_typed_results("\n\n".join(lesson.markdown[1:])) == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("It is right for 93.6 % of the films.", ["93.6 %"]),
        ("An AUROC of .985, or 0.985.", [".985", "0.985"]),
        ("There are 624 films and 4,183 more.", ["624", "4,183"]),
        ("Kermany et al. (2018) had 92.8 %.\n\nWe had 93 %.", ["93 %"]),
        ("Its 95 % interval at 128 px, of 224 x 224 pixels, 1,000 draws, in 2 epochs.", []),
        ("Twenty-one of 30; lesson 04; `4,183`.", []),
    ],
)
def test_a_typed_result_is_found(text, found):
    assert find_typed_results(text) == found


def test_a_solution_gives_no_name_of_the_lesson_another_meaning(lesson):
    solved = set().union(*(list_bound(ast.parse(code)) for code in list_solutions(lesson)))
    own = set().union(*map(list_bound, lesson.trees[1:]))
    assert solved & own <= {"figure", "answer_1", "answer_2", "answer_3"}  # every cell draws its own


def list_bound(tree: ast.Module) -> set[str]:
    """The names that code assigns, counts through or imports."""
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {a.asname or a.name for n in ast.walk(tree) if is_import(n) for a in n.names}


def test_the_summary_names_the_next_lesson(lesson):
    following = LESSONS.index(lesson.name) + 1
    if following < len(LESSONS):
        assert f"({LESSONS[following]})" in lesson.section("Summary")


def test_every_section_is_introduced_and_every_result_read(lesson):
    checks = [cell for cell in lesson.cells if cell.source.startswith("exercises.check_answer(")]
    kinds = [cell.cell_type for cell in lesson.cells[5:] if cell not in checks]
    assert ("code", "code") not in set(itertools.pairwise(kinds))


def test_it_keeps_to_its_budgets(lesson):
    assert MIN_CELLS <= len(lesson.cells) <= MAX_CELLS
    assert sum(map(count_lines, lesson.code[1:])) <= MAX_CODE_LINES  # all share the set-up cell
    too_long = [source for source in (SETUP, *lesson.code[2:]) if count_lines(source) > MAX_CELL_LINES]
    assert too_long == []
    assert max(len(line) for source in lesson.code for line in source.splitlines()) <= 100
    assert lesson.path.stat().st_size <= MAX_BYTES


def test_what_is_taught_stands_in_the_lesson_and_is_tested(lesson):
    tags = {tag for cell in lesson.cells for tag in cell.metadata.get("tags", [])}
    taught = {tag for tag in tags if tag.startswith("taught-")}
    tests = (ROOT / "tests" / f"test_taught_{lesson.name[:2]}.py").read_text(encoding="utf-8")
    assert taught and [tag for tag in taught if f'"{tag}"' not in tests] == []
    known = taught | {f"{kind}-{number}" for kind in ("exercise", "check") for number in (1, 2, 3)}
    assert tags == known


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


def find_loose_ends(outputs) -> list[str]:
    """Values that a cell leaves as its output, and numbers that are none."""
    found = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    return found + [text for output in outputs for text in list_texts(output) if re.search(r"\bnan\b", text)]


def test_cells_show_what_they_mean_to_show(lesson):
    assert find_loose_ends(lesson.outputs) == []


def test_a_loose_end_is_found():
    left = nbformat.v4.new_output("execute_result", {"text/plain": "Pipeline()"})
    said = nbformat.v4.new_output("stream", name="stdout", text="moved by nan; banana")
    assert find_loose_ends([left, said]) == ["Pipeline()", "moved by nan; banana"]


def test_no_absolute_path_is_shown(lesson):
    texts = [cell.source for cell in lesson.cells]
    for output in lesson.outputs:
        texts += list_texts(output)
        if output.output_type not in ("stream", "error"):
            texts += [
                re.sub('src="[^"]*"', "", text) for mime, text in output.data.items() if mime == "text/html"
            ]
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
    figures = [
        output for output in lesson.outputs if {"image/png", "image/jpeg"} & set(output.get("data", {}))
    ]
    assert len(figures) >= len(shown) > 0, "run the lessons again: make notebooks"
    texts = [facts.get("alt", "") for output in figures for facts in output.metadata.values()]
    assert [text for text in texts if not MIN_ALT <= len(text) <= MAX_ALT_LENGTH] == []
    assert len(set(texts)) > len(texts) / 2
    pages = [output.data.get("text/html", "") for output in figures]  # which JupyterLab and nbconvert show
    assert [f'alt="{escape(text)}"' in page for text, page in zip(texts, pages, strict=True)] == [True] * len(
        texts
    )


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
