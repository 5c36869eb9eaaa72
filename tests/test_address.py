"""The repository's address stands in one place and reaches lessons and pages from there."""

import re
import shutil

import nbformat
import pytest
from conftest import ROOT

from pneumo_utils import cli
from pneumo_utils.address import PAGES, link_to, read_address
from pneumo_utils.config import Folders
from pneumo_utils.errors import PneumoError

MOVED = "https://github.com/some-school/films-of-ours"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of what names the address, in which it has changed."""
    for name in ("pyproject.toml", *PAGES):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    set_address(tmp_path, MOVED)
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path))
    return tmp_path


def set_address(project, address: str) -> None:
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(
        re.sub(r"(?m)^Repository = .*$", f'Repository = "{address}"', text)
    )


def read_all(project) -> dict[str, str]:
    """Every file that may name the address but `pyproject.toml`."""
    paths = [project / name for name in PAGES] + sorted((project / "notebooks").iterdir())
    return {path.name: path.read_text(encoding="utf-8") for path in paths if path.is_file()}


def test_everything_that_names_the_address_follows_it_and_nothing_else_changes(project, capsys):
    before, old = read_all(project), read_address(Folders(ROOT)).removeprefix("https://github.com/")
    new = MOVED.removeprefix("https://github.com/")
    assert sum(old in text for text in before.values()) >= 5
    assert cli.main(["address"]) == 0
    assert capsys.readouterr().out == f"{MOVED}\n"
    assert read_all(project) == {name: text.replace(old, new) for name, text in before.items()}
    lesson = nbformat.read(project / "notebooks" / "02_train_cnn.ipynb", as_version=4)
    link = f"https://colab.research.google.com/github/{new}/blob/main/notebooks/02_train_cnn.ipynb"
    assert f"({link})\n" in lesson.cells[0].source and f'PROJECT = "{MOVED}"\n' in lesson.cells[2].source


def test_a_set_up_cell_or_badge_that_deviates_is_mended(project):
    cli.main(["address"])
    right = read_all(project)
    path = project / "notebooks" / "03_train_resnet.ipynb"
    lesson = nbformat.read(path, as_version=4)
    lesson.cells[0].source = lesson.cells[0].source.replace("blob/main", "blob/other")
    lesson.cells[2].source += "\n# more"
    nbformat.write(lesson, path)
    assert read_all(project) != right
    cli.main(["address"])
    assert read_all(project) == right


def test_links_of_a_page_follow_and_those_to_others_stay():
    page = "git clone https://github.com/{0}.git\n[Colab](https://colab.research.google.com/github/{0}/blob/main/x)"
    other = "\nhttps://github.com/huggingface/timm"
    text = page.format("a.b/c-d") + other
    assert link_to(MOVED, text) == page.format("some-school/films-of-ours") + other


def test_the_pages_name_the_address_that_is_in_the_project_file():
    pages = [(ROOT / name).read_text(encoding="utf-8") for name in PAGES]
    assert [link_to(read_address(Folders(ROOT)), page) for page in pages] == pages


@pytest.mark.parametrize(
    "address", ["https://gitlab.com/a/b", "https://github.com/a/b.git", "https://github.com/a/"]
)
def test_an_address_that_colab_cannot_open_is_refused(project, address):
    set_address(project, address)
    with pytest.raises(PneumoError, match=r"expected https://github.com/OWNER/NAME"):
        read_address(Folders(project))
