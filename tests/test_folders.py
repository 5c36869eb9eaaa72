"""One lister: what is a film in a folder, whose it is, and that all commands see the same ones."""

import csv
import errno
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from abilities import needs_any_names, needs_links, needs_pipes
from conftest import CLASSES, make_film, make_folder
from dicom_files import make_dicom
from PIL import Image
from uploading import make_reader

from pneumo_utils.app.panel import FilmPanel
from pneumo_utils.app.widgets import list_samples
from pneumo_utils.audit.checks import summarise
from pneumo_utils.audit.facts import read_facts
from pneumo_utils.cli import main
from pneumo_utils.data.folders import find_root, list_files, list_films, list_folder, parse_name
from pneumo_utils.data.sources import choose_data, load_split, read_films
from pneumo_utils.errors import PneumoError, UsageError


def write(folder: Path, *places: str) -> Path:
    """Films at places such as `NORMAL/a.png`; without a suffix that Pillow knows, a JPEG or a DICOM file."""
    for seed, place in enumerate(places):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        film, kind = make_film(seed, shape=(40 + seed, 48)), Image.registered_extensions().get(path.suffix)
        if path.suffix.lower() in (".dcm", ".113"):
            path.write_bytes(make_dicom(film))
        else:
            stream = io.BytesIO()
            Image.fromarray(film).save(stream, kind or "JPEG")
            path.write_bytes(stream.getvalue())
    return folder


def write_junk(folder: Path, *places: str) -> None:
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text("nothing to see", encoding="utf-8")


def name_films(folder: Path) -> list[str]:
    return [film.name for film in list_folder(folder).films]


# --- all commands see the same films ------------------------------------------------------------------------


def make_places(*, train="train/", test="test/", classes=CLASSES, name="{kind}{number}.png") -> list[str]:
    """Nine films of each class to train on and three to judge."""
    return [
        f"{part}{kind}/{name.format(kind=kind[0], number=number)}"
        for part, numbers in ((train, range(9)), (test, range(9, 12)))
        for kind in classes
        for number in numbers
    ]


def put_kaggle(root: Path) -> None:
    """The mirror: a `val` folder, the whole tree once more inside it, and what macOS leaves."""
    write(root, *make_places(), "val/PNEUMONIA/P77.png", "val/NORMAL/N77.png")
    shutil.copytree(root, root / "chest_xray")
    write_junk(root, "train/NORMAL/._N0.png", "__MACOSX/train/NORMAL/._N0.png", ".DS_Store")


def put_junk(root: Path) -> None:
    write(root, *make_places(train="", test=""))
    write_junk(
        root, "README.txt", "NORMAL/Thumbs.db", "NORMAL/notes", "PNEUMONIA/DICOMDIR", ".git/NORMAL/a.png"
    )


def put_links(root: Path) -> None:
    """`needs_links`: films of a class, a patient and one alone lie elsewhere; a link leads in a circle."""
    away = root.parent / "away"
    write(away, "normal/N1.png", "normal/N2.png", "p7/P1.png", "P2.png")
    write(root, "PNEUMONIA/P3.png")
    (root / "NORMAL").symlink_to(away / "normal", target_is_directory=True)
    (root / "PNEUMONIA" / "p7").symlink_to(away / "p7", target_is_directory=True)
    (root / "PNEUMONIA" / "P2.png").symlink_to(away / "P2.png")
    (root / "PNEUMONIA" / "round").symlink_to(root, target_is_directory=True)


LAYOUTS = {
    "official": lambda root: write(root, *make_places()),
    "kaggle": put_kaggle,
    "around": lambda root: write(root / "chest_xray", *make_places()),
    "splits in any case": lambda root: write(
        root, *make_places(train="Train/", test="TEST/", classes=("normal", "Pneumonia"))
    ),
    "patients in splits": lambda root: write(root, *make_places(name="p{number}/{kind}{number}.png")),
    "classes": lambda root: write(root, *make_places(train="", test="")),
    "classes around": lambda root: write(root / "chest_xray", *make_places(train="", test="")),
    "classes in any case": lambda root: write(
        root, *make_places(train="", test="", classes=("normal", "Pneumonia"))
    ),
    "patients": lambda root: write(
        root, *make_places(train="", test="", name="p{number}/x/{kind}{number}.png")
    ),
    "no suffix": lambda root: write(root, *make_places(train="", test="", name="{kind}{number}")),
    "some without suffix": lambda root: write(
        root, "NORMAL/a.png", "PNEUMONIA/b.png", *make_places(train="", test="", name="{kind}{number}")
    ),
    "names of a scanner": lambda root: write(root, *make_places(name="1.2.840.{number}.113")),
    "dicom": lambda root: write(root, "NORMAL/a.dcm", "NORMAL/b.png", "PNEUMONIA/c.DCM", "PNEUMONIA/p/d.113"),
    "junk": put_junk,
    "links": put_links,
}


@pytest.mark.long
@pytest.mark.parametrize("layout", [*list(LAYOUTS)[:-1], pytest.param("links", marks=needs_links)])
def test_all_commands_see_the_same_films(layout, tmp_path, folders, capsys):
    LAYOUTS[layout](tmp_path / "films")
    root, table = tmp_path / "films", tmp_path / "answers.csv"
    films = list_folder(root).films
    paths = {str(film.path) for film in films}
    assert len(paths) == len(films) >= 4

    choice = choose_data(str(root), folders=folders)
    splits = ("test",) if choice.source == "folder" else ("train", "val", "test")
    sets = [load_split(choice, split, image_size=32, folders=folders) for split in splits]
    assert sorted(np.concatenate([part.names for part in sets])) == sorted(film.path.name for film in films)
    assert sum(map(np.sum, (part.labels for part in sets))) == sum(film.label for film in films)
    known = {film.path.name: film.patient for film in films}
    assert all(
        known[name] == who for part in sets for name, who in zip(part.names, part.patients, strict=True)
    )
    if choice.source == "chestxray2017":
        assert {str(path) for path in list_samples(choice).values()} <= paths

    assert main(["data", "info", "--data", str(root)]) == 0
    told = capsys.readouterr().out.splitlines()[1:]
    assert sum(int(line.split()[1]) for line in told) == len(films)
    assert main(["data", "audit", str(root), "--json"]) == 0
    audit = json.loads(capsys.readouterr().out)
    assert audit["num_films"] == audit["num_readable"] == len(films)
    # Whether one of these films of noise passes the check does not matter here.
    assert main(["inference", str(root), "--shipped", "--csv", str(table)]) in (0, 1)
    with open(table, newline="", encoding="utf-8") as file:
        assert {row["path"] for row in csv.DictReader(file)} == paths
    assert main(["eval", "--model", "cnn_baseline", "--shipped", "--data", str(root), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["n"] == len(films if choice.source == "folder" else sets[1])
    if choice.source == "folder":
        surveyed = {film.path.relative_to(choice.folder).as_posix() for film in films}
        assert set(row["warnings"]) == surveyed  # each is too small
    panel = FilmPanel(make_reader())
    panel.controls.path.value = str(root)
    panel.controls.read_path.click()
    assert {str(reading.source) for reading in panel.reader.readings} == paths


# --- what is a film -----------------------------------------------------------------------------------------


def test_what_is_no_film_is_named_with_its_reason(tmp_path):
    films = ["test/NORMAL/h", "train/NORMAL/a.png", "train/NORMAL/p7/d.png", "train/PNEUMONIA/b.png"]
    write(
        tmp_path,
        *films,
        "train/COVID/c.png",
        "train/loose.png",
        "NORMAL/e.png",
        "chest_xray/train/NORMAL/a.png",
    )
    write_junk(tmp_path, "train/NORMAL/._a.png", "train/NORMAL/notes.txt", "test/NORMAL/DICOMDIR", "train/BM")
    (tmp_path / "train" / "BM").write_text("BM is how a BMP begins, and this text", encoding="utf-8")
    found = list_folder(tmp_path)
    assert sorted(film.name for film in found.films) == films
    assert dict(found.strays) == {
        "train/COVID": "a folder of another name",
        "NORMAL": "a folder of another name",
        "train/loose.png": "a film in no class folder",
        "chest_xray": "a copy of the data set inside it",
        "train/NORMAL/._a.png": "hidden",
        "train/NORMAL/notes.txt": "no image inside",
        "train/BM": "no image inside",
        "test/NORMAL/DICOMDIR": "no image inside",
    }
    assert summarise(read_facts(tmp_path))["files"]["not_read"]["no image inside"] == [
        "test/NORMAL/DICOMDIR", "train/BM", "train/NORMAL/notes.txt"
    ]  # fmt: skip
    assert found.left_out == (
        "Left out: NORMAL (a folder of another name), chest_xray (a copy of the data set inside it), "
        "test/NORMAL/DICOMDIR (no image inside), train/BM (no image inside), "
        "train/COVID (a folder of another name) and 2 more."
    )


@needs_pipes
def test_a_pipe_is_no_film_whatever_its_name(tmp_path):
    write(tmp_path, "NORMAL/a.png")
    os.mkfifo(tmp_path / "NORMAL" / "pipe.png")
    assert list_folder(tmp_path).strays == (("NORMAL/pipe.png", "no ordinary file"),)


@pytest.mark.parametrize(
    "name", ["a.png", "a.JPG", "a", "a.ima", "a.bmp", "a.tif", "a.webp", "a.dcm", "1.2.113"]
)
def test_a_film_is_told_by_its_name_or_its_first_bytes(tmp_path, name):
    write(tmp_path, f"NORMAL/{name}")
    assert read_facts(tmp_path).readable["name"].tolist() == [f"NORMAL/{name}"]
    assert summarise(read_facts(tmp_path))["files"]["suspicious"].keys() == {"short side below 128 pixels"}


def test_a_file_without_suffix_that_may_not_be_read_counts_as_a_film(tmp_path, monkeypatch):
    write(tmp_path, "NORMAL/a", "PNEUMONIA/b")
    inner = open

    def refuse(path, *words, **settings):
        if Path(path).name == "a":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return inner(path, *words, **settings)

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(io, "open", refuse)
    assert name_films(tmp_path) == ["NORMAL/a", "PNEUMONIA/b"]
    assert summarise(read_facts(tmp_path))["num_readable"] == 1


def test_what_is_left_out_is_said_by_the_commands(tmp_path, folders, capsys):
    write(tmp_path / "films", "NORMAL/a.png", "PNEUMONIA/b.png")
    write_junk(tmp_path / "films", "NORMAL/notes.txt", "NORMAL/.hidden", "PNEUMONIA/Thumbs.db")
    sentence = "Left out: NORMAL/notes.txt (no image inside)."
    root = str(tmp_path / "films")
    assert choose_data(root, folders=folders).sentence.endswith(f"to be judged. {sentence}")
    assert main(["inference", root, "--shipped"]) == 1  # too small to be answered
    assert sentence in capsys.readouterr().err
    panel = FilmPanel(make_reader())
    panel.controls.path.value = root
    panel.controls.read_path.click()
    assert sentence in panel.controls.status.value


def test_a_file_that_is_named_is_taken_whatever_it_holds(tmp_path):
    write(tmp_path, "b.png", "a.JPG", "sub/c", "sub-2/d.png")
    write_junk(tmp_path, ".hidden.png", ".folder/d.png", "notes.txt")
    found, left_out = list_files([tmp_path / "notes.txt", tmp_path])
    assert [path.name for path in found] == ["notes.txt", "a.JPG", "b.png", "c", "d.png"]
    assert found[1:] == sorted(found[1:]) and left_out == "Left out: notes.txt (no image inside)."


@needs_any_names
def test_a_name_that_is_no_text_is_printable_in_the_table(tmp_path):
    write(tmp_path, "NORMAL/a.png")
    os.rename(tmp_path / "NORMAL" / "a.png", os.fsencode(tmp_path / "NORMAL") + b"/bad\xff\nname.png")
    assert read_facts(tmp_path).readable["name"].tolist() == ["NORMAL/bad??name.png"]


# --- links and rights ---------------------------------------------------------------------------------------


@needs_links
def test_a_folder_behind_several_links_is_listed_once(tmp_path):
    root, away = tmp_path / "films", tmp_path / "away"
    write(root, "NORMAL/p1/a.png", "PNEUMONIA/c.png")
    write(away, "deep/b.png")
    targets = {"l1": away, "l2": away / "deep", "l3": root / "NORMAL" / "p1", "up": tmp_path}
    for name, target in targets.items():
        (root / "NORMAL" / name).symlink_to(target, target_is_directory=True)
    (root / "PNEUMONIA" / "l4").symlink_to(away, target_is_directory=True)
    (away / "back").symlink_to(away, target_is_directory=True)
    found = list_folder(root)
    assert [film.name for film in found.films] == [
        "NORMAL/l1/deep/b.png", "NORMAL/p1/a.png", "PNEUMONIA/c.png"
    ]  # fmt: skip
    strays = dict(found.strays)
    assert set(strays.values()) == {"a link to what is listed already"}
    assert strays.keys() == {f"NORMAL/{name}" for name in ("l1/back", "l2", "l3", "up")} | {"PNEUMONIA/l4"}
    assert [path.name for path in list_files([root])[0]] == ["b.png", "a.png", "c.png"]


@needs_links
@pytest.mark.parametrize("place", ["NORMAL/gone.png", "NORMAL/gone", "PNEUMONIA/round", "gone"])
def test_a_link_that_leads_nowhere_is_an_error(tmp_path, folders, capsys, place):
    write(tmp_path / "films", "NORMAL/a.png", "PNEUMONIA/b.png")
    link = tmp_path / "films" / place
    link.symlink_to(link if "round" in place else tmp_path / "nowhere")
    expect_refusal(tmp_path / "films", f"The link {link} leads nowhere", capsys)


@pytest.mark.parametrize("place", ["", "PNEUMONIA", "PNEUMONIA/p7", "train/PNEUMONIA"])
def test_a_folder_that_may_not_be_read_is_an_error(tmp_path, folders, capsys, monkeypatch, place):
    root = tmp_path / "films"
    if place.startswith("train"):
        make_folder(root)
    else:
        write(root, "NORMAL/a.png", "PNEUMONIA/b.png", "PNEUMONIA/p7/c.png")
    inner = os.scandir

    def refuse(path):
        if Path(path) == root / place:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return inner(path)

    monkeypatch.setattr(os, "scandir", refuse)
    expect_refusal(root, f"The folder {root / place} cannot be read (Permission denied)", capsys)


def expect_refusal(folder: Path, sentence: str, capsys) -> None:
    """Every command ends with exit code 1 and the sentence, and gives no figure."""
    model = ["--model", "cnn_baseline", "--shipped"]
    for words in (
        ["data", "info", "--data", folder],
        ["data", "audit", folder],
        ["train", *model[:2], "--data", folder],
        ["eval", *model, "--data", folder],
        ["inference", folder, *model, "--csv", folder.parent / "answers.csv"],
    ):
        assert main([str(word) for word in words]) == 1, words
        said = capsys.readouterr()
        assert said.out == "" and sentence in said.err and "Traceback" not in said.err
    assert not (folder.parent / "answers.csv").exists()


# --- layouts ------------------------------------------------------------------------------------------------


def test_splits_are_told_by_their_folders(tmp_path):
    write(tmp_path, "train/NORMAL/b.png", "train/NORMAL/a.png", "test/PNEUMONIA/c.png", "val/NORMAL/d.png")
    films = list_folder(tmp_path).films
    assert [film.name for film in films] == [
        "train/NORMAL/a.png", "train/NORMAL/b.png", "val/NORMAL/d.png", "test/PNEUMONIA/c.png"
    ]  # fmt: skip
    assert [film.split for film in films] == ["train", "train", "val", "test"]
    assert [film.label for film in films] == [0, 0, 0, 1]
    assert find_root(tmp_path) == (tmp_path, ("train", "val", "test"))


@pytest.mark.parametrize("above", ["", "chest_xray/"])
def test_a_folder_without_splits_is_one_part(tmp_path, above):
    write(tmp_path, f"{above}NORMAL/a.png", f"{above}PNEUMONIA/b.png")
    assert [film.split for film in list_folder(tmp_path).films] == ["all", "all"]
    assert find_root(tmp_path) == (tmp_path / above, ())


def test_the_listing_of_a_split_is_sorted_by_name_and_complete(film_folder):
    films = list_films(film_folder, "train")
    assert [film.path.name for film in films] == sorted(film.path.name for film in films)
    assert len(films) == 24 and sum(film.label for film in films) == 12


def test_the_folder_above_and_kaggles_nested_copy_give_the_same_films(film_folder):
    shutil.copytree(film_folder, film_folder / "chest_xray")  # the duplicate tree of the mirror
    assert find_root(film_folder.parent) == (film_folder, ("train", "test"))
    assert len(list_films(film_folder.parent, "train")) == 24


def test_kaggles_val_is_joined_to_train(film_folder):
    write(film_folder, "val/PNEUMONIA/person1946_bacteria_4874.jpeg")
    assert "person1946_bacteria_4874.jpeg" in {film.path.name for film in list_films(film_folder, "train")}
    assert len(list_films(film_folder, "test")) == 8


def test_a_folder_with_splits_is_still_the_course_s_own_layout(film_folder, folders):
    write(film_folder, "NORMAL/stray.png")
    assert choose_data(str(film_folder), folders=folders).source == "chestxray2017"


def test_a_folder_that_is_missing_or_of_another_layout_is_named(tmp_path, folders):
    for ask in (list_folder, read_facts, lambda folder: choose_data(str(folder), folders=folders)):
        with pytest.raises(PneumoError, match=r"nowhere is not a folder.*pneumo data download"):
            ask(tmp_path / "nowhere")
        with pytest.raises(PneumoError, match="has no folder in it; expected NORMAL and PNEUMONIA"):
            ask(tmp_path)
    write(tmp_path, "healthy/a.png", "sick/b.png")
    with pytest.raises(PneumoError, match=r"only healthy, sick in it.*Rename"):
        list_folder(tmp_path)
    write(tmp_path / "part", "test/NORMAL/a.png", "test/PNEUMONIA/b.png")
    with pytest.raises(PneumoError, match=r"class folders in test only; expected train and test"):
        choose_data(str(tmp_path / "part"), folders=folders)


@pytest.mark.parametrize("remove", ["empty", "absent"])
def test_a_class_of_a_split_without_films_is_named(film_folder, remove):
    part = film_folder / "train" / "NORMAL"
    shutil.rmtree(part)
    if remove == "empty":
        part.mkdir()
        write_junk(part, "notes.txt")
    with pytest.raises(PneumoError, match="NORMAL holds no film") as caught:
        list_films(film_folder, "train")
    assert ("Left out: train/NORMAL/notes.txt" in str(caught.value)) == (remove == "empty")


def test_folders_without_films_are_refused(tmp_path):
    for name in CLASSES:
        (tmp_path / name).mkdir()
    write_junk(tmp_path, "PNEUMONIA/notes.txt")
    for ask in (list_folder, list_films, lambda folder: list_files([folder])):
        with pytest.raises(
            PneumoError, match=r"holds no film; expected image files \(\.bmp, .*Left out: .*notes"
        ):
            ask(tmp_path)
    with pytest.raises(PneumoError, match="nowhere is not there"):
        list_files([tmp_path / "nowhere"])


def test_a_third_class_is_not_judged(tmp_path):
    write(tmp_path, "NORMAL/a.png", "PNEUMONIA/b.png", "COVID/c.png")
    write_junk(tmp_path, "notes/read.txt")  # no film, so no class
    with pytest.raises(PneumoError, match=r"other classes: COVID; expected NORMAL and PNEUMONIA only"):
        list_films(tmp_path)
    assert dict(list_folder(tmp_path).strays)["COVID"] == "a folder of another name"


# --- patients -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("person12_bacteria_34.jpeg", 1, ("person12", "bacterial")),
        ("person12_virus_5.jpeg", 1, ("person12", "viral")),
        ("IM-0115-0001.jpeg", 0, ("IM-0115", "normal")),
        ("IM-0115-0001-0002.jpeg", 0, ("IM-0115", "normal")),
        ("NORMAL2-IM-0115-0001.jpeg", 0, ("NORMAL2-IM-0115", "normal")),
        ("film.png", 1, ("film.png", "unknown")),
    ],
)
def test_names_tell_patient_and_subtype(name, label, expected):
    assert parse_name(name, label) == expected


def test_names_and_folders_tell_the_patients(tmp_path):
    write(tmp_path, "NORMAL/1.png", "PNEUMONIA/1.png", "NORMAL/p7/a.png", "PNEUMONIA/p7/sub/b.png",
          "PNEUMONIA/person12_virus_5.jpeg", "PNEUMONIA/p8/person9_virus_1.jpeg")  # fmt: skip
    films = {film.name: film for film in list_films(tmp_path)}
    assert {name: (film.patient, film.series, film.tells_patient) for name, film in films.items()} == {
        "NORMAL/1.png": ("NORMAL/1.png", "NORMAL/1.png", False),
        "NORMAL/p7/a.png": ("p7", "p7", True),
        "PNEUMONIA/1.png": ("PNEUMONIA/1.png", "PNEUMONIA/1.png", False),
        "PNEUMONIA/p7/sub/b.png": ("p7", "p7", True),
        "PNEUMONIA/p8/person9_virus_1.jpeg": ("p8", "p8", True),
        "PNEUMONIA/person12_virus_5.jpeg": ("person12", "person12 viral", True),
    }
    assert films["PNEUMONIA/person12_virus_5.jpeg"].subtype == "viral"
    assert [film.label for film in films.values()] == [0, 0, 1, 1, 1, 1]


def test_the_audit_sees_a_patient_of_two_splits_by_the_folder(tmp_path):
    write(
        tmp_path,
        "train/NORMAL/p1/a.png",
        "train/PNEUMONIA/p2/a.png",
        "test/NORMAL/p1/b.png",
        "test/PNEUMONIA/p3/b.png",
    )
    summary = summarise(read_facts(tmp_path))
    assert summary["patients"]["fine"]["shared"]["train/test"]["patients"] == ["p1"]
    assert "named as the other class" not in summary["files"]["suspicious"]


def test_a_film_that_moves_to_another_patient_is_noticed(folders, tmp_path):
    root = write(tmp_path / "films", "NORMAL/a.png", "PNEUMONIA/p1/b.png", "PNEUMONIA/p2/c.png")
    choice = choose_data(str(root), folders=folders)
    ask = lambda: list(load_split(choice, "test", image_size=32, folders=folders).patients)  # noqa: E731
    assert ask() == ["NORMAL/a.png", "p1", "p2"]
    (root / "PNEUMONIA/p2/c.png").rename(root / "PNEUMONIA/p1/c.png")
    assert ask() == ["NORMAL/a.png", "p1", "p1"]


# --- a listing becomes a table ------------------------------------------------------------------------------


def test_films_are_decoded_into_one_table(film_folder):
    films = list_films(film_folder, "train")
    dataset = read_films(films, image_size=32, split="train", max_films=None, preset="grey")
    assert dataset.images.shape == (24, 32, 32) and dataset.images.dtype == np.uint8
    assert list(dataset.names) == [film.path.name for film in films]
    assert list(dataset.labels) == [film.label for film in films]
    # Bright noise was written for PNEUMONIA, 100 levels above NORMAL.
    gap = dataset.images[dataset.labels == 1].mean() - dataset.images[dataset.labels == 0].mean()
    assert gap == pytest.approx(100, abs=5)


def test_a_damaged_film_is_named_and_left_out(tmp_path):
    folder = make_folder(tmp_path / "f", num_train=20)
    broken = folder / "train" / "NORMAL" / "IM-0003-0001.jpeg"
    broken.write_bytes(broken.read_bytes()[:300])
    dataset = read_films(list_films(folder, "train"), image_size=32, split="train", max_films=None)
    assert dataset.skipped == ("IM-0003-0001.jpeg",)
    assert len(dataset) == 39 and "IM-0003-0001.jpeg" not in dataset.names


def test_more_than_five_percent_damage_stops_the_run(tmp_path):
    folder = make_folder(tmp_path / "f", num_train=20)
    for i in range(3):  # 3 of 40 is 7.5 %
        (folder / "train" / "NORMAL" / f"IM-{i:04d}-0001.jpeg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(PneumoError, match=r"3 of 40 films cannot be read.*IM-0000-0001"):
        read_films(list_films(folder, "train"), image_size=32, split="train", max_films=None)


def test_the_films_of_a_folder_are_a_test_split_with_their_sizes(folders, tmp_path):
    write(tmp_path / "clinic", "NORMAL/a.png", "PNEUMONIA/b.png", "PNEUMONIA/c.png")
    choice = choose_data(str(tmp_path / "clinic"), folders=folders)
    for _ in range(2):  # decoded, then from the cache
        films = load_split(choice, "test", image_size=32, folders=folders)
        assert (films.source, films.split) == ("folder clinic", "test")
        np.testing.assert_array_equal(films.labels, [0, 1, 1])
        np.testing.assert_array_equal(films.sizes, [[40, 48], [41, 48], [42, 48]])
    np.testing.assert_array_equal(films.select([2]).sizes, [[42, 48]])
    for split in ("train", "val"):
        with pytest.raises(UsageError, match=rf"clinic has no {split} split.*--split test"):
            load_split(choice, split, image_size=32, folders=folders)


def test_two_folders_of_one_name_do_not_share_a_cache(folders, tmp_path):
    write(tmp_path / "a" / "films", "NORMAL/1.png", "PNEUMONIA/2.png")
    write(tmp_path / "b" / "films", "PNEUMONIA/1.png")
    counts = []
    for parent in ("a", "b", "a"):
        choice = choose_data(str(tmp_path / parent / "films"), folders=folders)
        counts.append(load_split(choice, "test", image_size=32, folders=folders).class_counts())
    assert counts[0] == counts[2] == {"NORMAL": 1, "PNEUMONIA": 1}
    assert counts[1] == {"NORMAL": 0, "PNEUMONIA": 1}  # one class may be judged as well
