"""Windows and macOS as far as Linux can imitate them: sources, outputs, files, names of films."""

import ast
import errno
import io
import os
import re
import subprocess
import sys
import unicodedata
from functools import cache
from pathlib import Path, PurePath
from types import SimpleNamespace

import numpy as np
import pytest
import windows
from abilities import ANY_NAMES, needs_any_names
from conftest import CLASSES, ROOT, make_checkpoint, make_chest_film, make_film
from PIL import Image

from pneumo_utils import cli
from pneumo_utils.app import jupyter
from pneumo_utils.data import dataset
from pneumo_utils.data.folders import HIDDEN, list_files, list_folder
from pneumo_utils.data.sources import choose_data, load_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.checkpoint import save_checkpoint
from pneumo_utils.report.html import save_page
from pneumo_utils.runtime import require_writable

ROOMS = ("pneumo_utils", "tools", "tests")
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
}


# --- what the sources may not say ---------------------------------------------------------------------------

OF_ONE_SYSTEM = {
    "tools/benchmarks/hostile_files.py",
    "tools/benchmarks/memory_and_growth.py",
    "tools/benchmarks/inference_speed.py",  # of links
    "tests/abilities.py",
    "tests/windows.py",
    "tests/test_systems.py",
    "tests/test_browser.py",  # skipped without Debian's Chromium
    "tests/test_colab.py",
    "tests/colab/google/colab/drive.py",
}
"""Files that say in their first lines, or in a mark, what they need."""
POSIX = {"fork", "forkpty", "getuid", "geteuid", "getgid", "chown", "statvfs", "sync", "sched_getaffinity"}
POSIX |= {"O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "mkfifo", "mknod", "killpg", "setsid", "getpgid"}
POSIX |= {"WIFSIGNALED", "WTERMSIG", "execv", "execvp", "uname", "symlink", "symlink_to", "chmod", "umask"}
POSIX |= {"SIGKILL", "SIGALRM", "SIGHUP", "SIGSTOP", "SIGCONT", "SIGUSR1", "alarm", "setitimer"}
WORDS = ("preexec_fn", "pass_fds", "shell=True")
PLACES = ("/dev/", "/proc/", "/tmp", "/bin/", "/etc/")
CALLED = {"open", "read_text", "write_text", "to_csv", "run", "Popen", "check_output", "run_apart"}
CALLED |= {"get_context", "set_start_method", "ProcessPoolExecutor", "Process", "Pool"}
GUARDS = ("sys.platform", "skipif", "needs_links", "needs_pipes", "needs_any_names", "LINKS", "PIPES")


def name_posix(node: ast.AST) -> str | None:
    """What in a node other systems lack."""
    if isinstance(node, ast.Attribute) and node.attr in POSIX:
        owner = ast.unparse(node.value)
        return node.attr if owner in ("os", "signal") or node.attr == "symlink_to" else None
    if isinstance(node, ast.keyword) and ast.unparse(node).startswith(WORDS):
        return node.arg
    if isinstance(node, ast.Constant) and str(node.value).startswith(PLACES):
        return node.value
    named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    named += [node.module] if isinstance(node, ast.ImportFrom) else []
    return next((name for name in named if name in windows.MODULES), None)


def is_guarded(node: ast.AST, lines: list[str]) -> bool:
    """Whether it is a function or an `if` that asks which system this is."""
    if isinstance(node, ast.FunctionDef):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return any(guard in line for line in lines[first - 1 : node.end_lineno] for guard in GUARDS)
    return isinstance(node, (ast.If, ast.IfExp)) and any(guard in ast.unparse(node.test) for guard in GUARDS)


def list_posix_names(source: str) -> list[str]:
    """What other systems lack, where nothing around it asks which system this is."""
    lines, waiting, found = source.splitlines(), [ast.parse(source)], []
    while waiting:
        node = waiting.pop()
        if not is_guarded(node, lines):
            found += [name] if (name := name_posix(node)) else []
            waiting += ast.iter_child_nodes(node)
    return found


@cache
def list_calls(source: str) -> list[tuple[ast.Call, str, dict[str, str]]]:
    """The calls of `CALLED` with their words; those without a name have a number."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name in CALLED:
            words = {str(place): arg for place, arg in enumerate(call.args)}
            words |= {str(word.arg): word.value for word in call.keywords}
            found.append((call, name, {word: ast.unparse(value) for word, value in words.items()}))
    return found


def find_mode(call: ast.Call, name: str, said: dict[str, str]) -> str:
    """How a call opens a file, "" if it opens none: `open(path, mode)`, `io.open`, or `path.open(mode)`."""
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else "io"
    if name != "open" or owner in ("os", "Image", "archive"):
        return ""
    return said.get("mode", said.get("1" if owner == "io" else "0", "'r'"))


def list_unnamed_encodings(source: str) -> list[str]:
    """Calls that read or write text in an encoding that hangs on the system."""
    found = []
    for call, name, said in list_calls(source):
        mode = find_mode(call, name, said)
        is_text = mode != "" and "b" not in mode
        is_text |= name in ("read_text", "write_text") and isinstance(call.func, ast.Attribute)
        is_text |= name in ("run", "Popen", "check_output") and "text" in said
        found += [ast.unparse(call)] if is_text and "encoding" not in said else []
    return found


def list_unnamed_newlines(source: str) -> list[str]:
    """Calls that write text with line ends that hang on the system."""
    found = []
    for call, name, said in list_calls(source):
        mode = find_mode(call, name, said)
        writes = name in ("write_text", "to_csv") or (mode and "b" not in mode and "r" not in mode)
        found += [ast.unparse(call)] if writes and not {"newline", "lineterminator"} & said.keys() else []
    return found


def list_forks(source: str) -> list[str]:
    """Processes that are started by anything but "spawn", or are given what only "fork" hands over."""
    found = []
    for call, name, said in list_calls(source):
        is_wrong = name in ("get_context", "set_start_method") and said != {"0": "'spawn'"}
        is_wrong |= name == "ProcessPoolExecutor" and "get_context" not in said.get("mp_context", "")
        is_wrong |= name == "run_apart" and said["0"].startswith("lambda")
        is_wrong |= name in ("Process", "Pool")
        found += [ast.unparse(call)] if is_wrong else []
    return found


CHECKS = {
    "POSIX": lambda name, source: [] if name in OF_ONE_SYSTEM else list_posix_names(source),
    "encoding": lambda name, source: list_unnamed_encodings(source),
    # Tests write what they read themselves.
    "newline": lambda name, source: [] if name.startswith("tests/") else list_unnamed_newlines(source),
    "spawn": lambda name, source: list_forks(source),
}


@pytest.mark.parametrize("check", CHECKS)
def test_no_source_rests_on_one_system(check):
    found = {name: CHECKS[check](name, source) for name, source in SOURCES.items()}
    assert {name: calls for name, calls in found.items() if calls} == {}


BREACHES = {
    "os.fork()": ["fork"],
    "import numpy, fcntl": ["fcntl"],
    "from resource import getrusage": ["resource"],
    "def test():\n    os.kill(1, signal.SIGKILL)": ["SIGKILL"],
    "subprocess.run('ls', shell=True)": ["shell"],
    "open('/dev/null')": ["/dev/null"],
    "if sys.platform != 'win32':\n    os.fork()": [],
    "def serve():\n    if sys.platform == 'win32':\n        return\n    os.execv(words)": [],
    "@needs_links\ndef test(tmp_path):\n    tmp_path.symlink_to('a')": [],
    "@pytest.mark.system\ndef test(tmp_path):\n    tmp_path.symlink_to('a')": ["symlink_to"],
}


@pytest.mark.parametrize("source", BREACHES)
def test_what_only_posix_has_is_found_unless_it_is_guarded(source):
    assert list_posix_names(source) == BREACHES[source]


def test_text_without_an_encoding_or_a_line_end_is_found():
    lacking = ("open(path)", "open(path, 'w')", "io.open(path, mode='a')", "path.open()", "path.open('r')")
    lacking += ("path.read_text()", "path.write_text(text)", "subprocess.run(words, text=True)")
    fine = ("open(path, 'rb')", "path.open('ab')", "os.open(path, 1)", "Image.open(path)", "read_text(page)")
    fine += ("path.read_text(encoding='utf-8')", "subprocess.run(words)", "open(path, encoding='utf-8')")
    assert [source for source in lacking + fine if list_unnamed_encodings(source)] == list(lacking)
    lacking = ("open(path, 'w')", "path.open('a')", "path.write_text(text)", "table.to_csv(path)")
    fine = (
        "open(path)",
        "open(path, 'wb')",
        "path.write_text(text, newline='')",
        "open(path, 'w', newline='')",
    )
    assert [source for source in lacking + fine if list_unnamed_newlines(source)] == list(lacking)


def test_a_process_that_is_not_spawned_is_found():
    lacking = ("ProcessPoolExecutor(1)", "get_context('fork')", "multiprocessing.Process(target=f)")
    lacking += ("run_apart(lambda: 1)", "get_context()")
    fine = ("ProcessPoolExecutor(1, mp_context=get_context('spawn'))", "run_apart(work, 1)")
    assert [source for source in lacking + fine if list_forks(source)] == list(lacking)


def test_a_spawned_process_may_import_every_module_without_running_it():
    for name, source in SOURCES.items():
        started = [node.value for node in ast.parse(source).body if isinstance(node, ast.Expr)]
        calls = [ast.unparse(value.func) for value in started if isinstance(value, ast.Call)]
        assert not {"main", "sys.exit"} & set(calls), name


def test_every_file_of_the_repository_can_be_checked_out_everywhere():
    kept = [path for room in (*ROOMS, "notebooks", "results") for path in (ROOT / room).rglob("*")]
    names = [path.relative_to(ROOT).as_posix() for path in kept if "__pycache__" not in path.parts]
    assert len({name.casefold() for name in names}) == len(names) > 200
    assert [name for name in names if not name.isascii() or len(name) > 120] == []
    assert [name for name in names if not all(map(windows.is_fit, name.split("/")))] == []
    assert "* text=auto eol=lf" in (ROOT / ".gitattributes").read_text(encoding="utf-8")


# --- outputs that cannot show all signs ---------------------------------------------------------------------

PLACE = "Füße 肺"
MODEL = "--model cnn_baseline"
COMMANDS = {
    "data info --data films": 0,
    "data audit films": 0,
    "data audit films --json": 0,
    "data download": 0,
    f"eval {MODEL} --data films": 0,
    f"eval {MODEL} --data films --json": 0,
    f"inference films {MODEL}": 0,
    f"inference films {MODEL} --json": 0,
    f"inference films {MODEL} --csv out.csv": 0,
    "inference nowhere": 1,
    f"export {MODEL} --output out.onnx": 0,
    f"train {MODEL} --data synthetic --epochs 1 --output_dir trained": 0,
    f"lr {MODEL} --data synthetic --steps 10 --output_dir trained": 0,
    "course": 0,
    "app": 1,
}
FILES = ("films", "nowhere", "out.csv", "out.onnx", "trained")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project folder and films with names that few outputs can show, and a model."""
    home = tmp_path_factory.mktemp("home") / PLACE
    for label, name in enumerate(CLASSES):
        (home / "films" / name).mkdir(parents=True)
        for number in range(2):
            film = Image.fromarray(make_chest_film(2 * label + number))
            film.save(home / "films" / name / f"Müller 肺 {number} ± → ▏.png")
    (home / "films" / "notes ±肺").touch()
    save_checkpoint(make_checkpoint(), home / "checkpoints" / "best_model_cnn_baseline.pth")
    return home


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "encoding"),
    [(words, "ascii") for words in COMMANDS]
    + [(words, "cp1252") for words in COMMANDS if "synth" not in words],
)
def test_every_command_prints_on_an_output_that_lacks_signs(home, monkeypatch, words, encoding):
    def fail(**_):
        raise PneumoError(f"The port of {home} is taken ± →.")

    monkeypatch.setenv("PNEUMO_HOME", str(home))
    monkeypatch.setenv("PNEUMO_FAST", "1")
    monkeypatch.setattr("pneumo_utils.data.download.download_chestxray2017", lambda folder: folder)
    monkeypatch.setattr("pneumo_utils.models.onnx.export_onnx", lambda checkpoint, path: 0.0)
    monkeypatch.setattr("pneumo_utils.course.run_course", lambda: print("0.91 ± 0.02 → 肺 ▏█"))
    monkeypatch.setattr(jupyter, "serve", fail)
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    full = [str(home / word) if word in FILES else word for word in words.split()]
    assert cli.main(full) == COMMANDS[words]
    said = out.buffer.getvalue().decode(encoding) + err.buffer.getvalue().decode(encoding)
    assert "\\u80ba" in said and bool({"ü", "±"} & set(said)) == (encoding == "cp1252")


# --- commands that meet another system ----------------------------------------------------------------------


def test_the_page_is_waited_for_where_a_process_cannot_become_another(folders, monkeypatch):
    called = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "call", lambda words: called.append(words) or 7)
    monkeypatch.setattr(os, "execv", None)
    with pytest.raises(SystemExit) as stop:
        jupyter.serve(port=8866, open_browser=False)
    assert stop.value.code == 7 and called[0][:3] == [sys.executable, "-m", "voila"]
    assert any(" " in word for word in called[0])  # which execv would cut there


@pytest.mark.parametrize(("platform", "code"), [("win32", 141), ("linux", 1)])
def test_a_reader_that_goes_away_is_an_invalid_argument_on_windows(monkeypatch, capsys, platform, code):
    def fail(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    parser = SimpleNamespace(prog="pneumo", parse_args=lambda words: SimpleNamespace(run=fail))
    monkeypatch.setattr(sys, "platform", platform)
    assert cli.run(parser, []) == code
    assert ("Invalid argument" in capsys.readouterr().err) == (code == 1)


def test_a_drive_that_is_not_there_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "exists", lambda path: False)  # not even what stands above all
    with pytest.raises(PneumoError, match="is no folder that may be written to"):
        require_writable(tmp_path / "new")
    with pytest.raises(UsageError, match="is no place for a result"):
        cli.name_output(".csv")(str(tmp_path / "out.csv"))


NAMES = {"aux.csv": False, "NUL.csv": False, "com1.x.csv": False, "a:b.csv": False, "what?.csv": False}
NAMES |= {"answers.csv": True, "console.csv": True, "a (1).csv": True, "Füße.csv": True}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_on_windows_is_refused_there_before_any_work(tmp_path, monkeypatch, name):
    check = cli.name_output(".csv")
    monkeypatch.setattr(sys, "platform", "linux")
    assert check(str(tmp_path / name)) == tmp_path / name
    monkeypatch.setattr(sys, "platform", "win32")
    if NAMES[name]:
        assert check(str(tmp_path / name)) == tmp_path / name
    else:
        with pytest.raises(UsageError, match="is no place for a result"):
            check(str(tmp_path / name))


# --- files that are open ------------------------------------------------------------------------------------


@pytest.fixture
def on_windows(monkeypatch):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs Linux")
    windows.imitate(monkeypatch.setattr, monkeypatch.delattr)


def test_the_imitation_refuses_what_windows_does(tmp_path, on_windows):
    path, other = tmp_path / "a.bin", tmp_path / "b.bin"
    write = path.write_text  # in an encoding that is not named
    write("ä\n")
    assert path.read_bytes() == b"\xe4\r\n"
    other.write_bytes(b"1")
    with pytest.raises(FileExistsError):
        other.rename(path)
    with path.open("rb"), pytest.raises(PermissionError, match="open"):
        other.replace(path)
    films = np.memmap(path, np.uint8, mode="r")
    for refused in (lambda: other.replace(path), path.unlink):
        with pytest.raises(PermissionError, match="open"):
            refused()
    del films
    other.replace(path)
    for name in ("aux.png", "a?.png", "a.", "nul", "a\tb"):
        with pytest.raises(OSError):
            (tmp_path / name).write_bytes(b"")
    with pytest.raises(OSError, match="privilege"):
        (tmp_path / "link").symlink_to(path)
    with pytest.raises(ModuleNotFoundError):
        import fcntl  # noqa: F401
    assert not hasattr(os, "fork")


def test_films_that_are_mapped_keep_their_file_and_the_next_run_replaces_it(
    tmp_path, monkeypatch, on_windows
):
    monkeypatch.setattr(dataset, "MAX_IN_MEMORY", 0)
    path, built = tmp_path / "cache" / "films.npz", []

    def load(seed: int) -> dataset.XrayDataset:
        def build():
            built.append(seed)
            return make_phantoms(8, image_size=32, seed=seed)

        return dataset.load_cached(path, key={"seed": seed}, build=build)

    def show() -> list[str]:
        return sorted(place.name for place in path.parent.iterdir())

    first, expected = load(1), load(1).images.copy()
    other = load(2)  # the first set is still mapped, so this one cannot be kept
    np.testing.assert_array_equal(first.images, expected)
    assert not np.array_equal(other.images, expected) and show() == ["films.npy", "films.npz"]
    del first, other
    for _ in range(2):
        kept = load(2)
    assert built == [1, 2, 2] and isinstance(kept.images, np.memmap) and show() == ["films.npy", "films.npz"]


# --- names of films -----------------------------------------------------------------------------------------


def write_films(folder: Path, *places: str) -> Path:
    for seed, place in enumerate(places):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_film(seed)).save(folder / place, "PNG")
    return folder


def test_films_come_in_one_order_on_all_systems(tmp_path, monkeypatch):
    root = write_films(
        tmp_path / "films", "NORMAL/B.png", "NORMAL/_.png", "NORMAL/a/1.png", "PNEUMONIA/c.png"
    )
    expected = ["NORMAL/B.png", "NORMAL/_.png", "NORMAL/a/1.png", "PNEUMONIA/c.png"]  # by code point
    # Paths of Windows compare by their small letters.
    monkeypatch.setattr(PurePath, "__lt__", lambda one, other: str(one).lower() < str(other).lower())
    assert sorted(map(Path, expected)) != list(map(Path, expected))
    assert [film.name for film in list_folder(root).films] == expected
    assert [path.relative_to(root).as_posix() for path in list_files([root])[0]] == expected


@pytest.mark.skipif(Path("A") == Path("a"), reason="paths are compared by their small letters")
def test_names_that_differ_in_their_letters_size_are_two_films_where_the_disk_has_two(tmp_path):
    root = write_films(tmp_path / "films", "NORMAL/Film.PNG", "NORMAL/film.png", "PNEUMONIA/c.png")
    names = os.listdir(root / "NORMAL")
    assert len(list_folder(root).films) == len(list_files([root])[0]) == len(names) + 1
    if sys.platform == "linux":
        assert len(names) == 2


def test_what_systems_leave_in_folders_is_no_film_and_not_spoken_of(tmp_path):
    root = write_films(
        tmp_path, "NORMAL/film.jpeg", "PNEUMONIA/c.png", "NORMAL/._film.jpeg", "__MACOSX/._c.png"
    )
    left = [".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini"] + ["Icon\r"] * ANY_NAMES
    for name in left:
        (root / "NORMAL" / name).write_bytes(b"\0\x05\x16\x07")
    listing = list_folder(root)
    assert [film.path.name for film in listing.films] == ["film.jpeg", "c.png"] and listing.left_out == ""
    assert {reason for _, reason in listing.strays} == {HIDDEN}
    assert list_files([root])[1] == ""


def test_a_name_means_the_same_however_its_umlauts_are_stored(tmp_path, folders):
    both = [unicodedata.normalize(form, "Küche Ångström") for form in ("NFC", "NFD")]
    assert both[0] != both[1]
    places = [f"{name}/NORMAL/{who}/a.png" for name in both for who in both]
    roots = [write_films(tmp_path, *places) / name for name in both]
    write_films(tmp_path, *(f"{name}/PNEUMONIA/{both[1]}/b.png" for name in both))
    found = []
    for root in roots:
        films = list_folder(root).films
        assert {film.patient for film in films} == {both[0]}
        sets = load_split(choose_data(str(root), folders=folders), "test", image_size=32, folders=folders)
        found.append((sets.source, sorted({film.name for film in films})))
    assert found[0] == found[1] and found[0][0] == f"folder {both[0]}"


@needs_any_names
def test_a_folder_whose_name_is_no_text_is_judged_and_has_its_page(tmp_path, folders):
    root = write_films(tmp_path / os.fsdecode(b"bad\xff"), *(f"{name}/1.png" for name in CLASSES))
    films = load_split(choose_data(str(root), folders=folders), "test", image_size=32, folders=folders)
    assert len(films) == 2 and films.source == "folder bad\udcff"
    save_page(f"<p>{films.source}</p>", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<p>folder bad?</p>"


# --- all tests of the quick kind ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system itself refuses")
def test_tests_that_write_files_pass_where_windows_would_refuse_what_it_does():
    names = (
        "audit_page",
        "batch",
        "checkpoint",
        "cli",
        "dataset",
        "folders",
        "odd_files",
        "resume",
        "results",
    )
    paths = [str(ROOT / "tests" / f"test_{name}.py") for name in names]
    words = ["-m", "pytest", "-q", "-p", "tests.windows", "-p", "no:cacheprovider"]
    words += ["-m", "not system and not slow"]
    done = subprocess.run([sys.executable, *words, *paths], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@pytest.mark.system
def test_every_name_in_the_repository_is_one_on_windows():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = [name for name in listed.decode().split("\0") if name]
    refused = re.compile(rf"{cli.NO_NAME_ON_WINDOWS.pattern}|.*\\.*", re.IGNORECASE)
    assert "pyproject.toml" in names and refused.fullmatch("a\\b.onnx") and refused.fullmatch("aux.csv")
    assert [name for name in names if any(refused.fullmatch(part) for part in name.split("/"))] == []
