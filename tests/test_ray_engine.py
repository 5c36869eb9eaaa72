"""Ray's actors give the rows of the local engine: the same values in the same order, nothing left running."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import PATIENCE_S, make_lively_checkpoint
from PIL import Image

from pneumo_utils.app import ray_engine
from pneumo_utils.app.batch import BATCH_SIZE, predict_files
from pneumo_utils.app.predictor import Predictor
from pneumo_utils.app.ray_engine import FILMS_PER_TASK, FilmActor, predict_files_on_ray
from pneumo_utils.cli import main
from pneumo_utils.data.folders import list_files
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.checkpoint import save_checkpoint
from pneumo_utils.models.shipped import load_shipped

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("heavy")]
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """Ray on two CPUs of this machine, its files where it puts them itself: its sockets need short paths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else they stand still beside whatever else runs
        for wait in ("gcs_server_port_wait_time_s", "worker_register_timeout_seconds"):
            patch.setenv(f"RAY_{wait}", str(PATIENCE_S))
        end = time.monotonic() + PATIENCE_S
        while not ray.is_initialized():
            try:
                ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
            except Exception:  # Ray gives parts of its own 15 s to start, whatever is set (its issue 65983)
                ray.shutdown()
                if time.monotonic() > end:
                    raise
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """40 files in folders of folders: an empty one, a text, a torn film, hidden ones that do not count."""
    folder = tmp_path_factory.mktemp("films")
    for i, film in enumerate(make_phantoms(37, image_size=160).images):
        path = folder / ("left", "right/süd", "right/süd/deep er", ".")[i % 4] / f"{i * 7 % 37}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(film).save(path)
    (folder / "left" / "empty.png").touch()
    (folder / "notes.png").write_text("no film", encoding="utf-8")
    (folder / "right" / "torn.png").write_bytes((folder / "left" / "0.png").read_bytes()[:2000])
    (folder / ".hidden.png").touch()
    return folder


def drop_times(answers) -> list:
    return [replace(answer, time_s=0.0) for answer in answers]


def test_the_rows_are_those_of_the_local_engine_and_actors_load_no_torch(cluster, folder, monkeypatch):
    class Strict(FilmActor):  # made here, so that Ray sends it as it is
        def __call__(self, row):
            report = super().__call__(row)
            assert "torch" not in sys.modules and os.environ["OMP_NUM_THREADS"] == "1"
            return report

    monkeypatch.setattr(ray_engine, "FilmActor", Strict)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as many threads here, so that sums have the same order
    predictor = Predictor(load_shipped("cnn_baseline"), screening=True)
    monkeypatch.chdir(folder.parent)  # relative paths are asked about, and shown as they are
    paths = [*list_files([folder.relative_to(folder.parent)])[0], Path("gone since it was listed.png")]
    expected = drop_times(predict_files(predictor, paths))
    assert [answer.status for answer in expected].count("rejected") >= 4 and len(expected) == 41
    assert len({answer.probability for answer in expected}) > 30
    # Three tasks of one batch each for two actors: one of them answers two at least.
    monkeypatch.setattr(ray_engine, "FILMS_PER_TASK", BATCH_SIZE)
    got = list(predict_files_on_ray(predictor, paths))
    assert drop_times(got) == expected
    assert all(answer.time_s > 0 for answer in got) and FILMS_PER_TASK % BATCH_SIZE == 0


def test_the_command_goes_on_with_a_table_by_a_checkpoint_of_ones_own(cluster, folder, tmp_path, capsys):
    path, tables = tmp_path / "own.pth", {name: tmp_path / f"{name}.csv" for name in ("local", "ray")}
    save_checkpoint(make_lively_checkpoint(), path)
    ask = ["inference", str(folder / "right"), "--checkpoint_path", str(path), "--csv"]
    assert main([*ask, str(tables["local"])]) == 0
    whole = tables["local"].read_text(encoding="utf-8").splitlines()
    tables["ray"].write_text("\n".join(whole[:6]) + "\n" + whole[6][:20], encoding="utf-8")
    assert main([*ask, str(tables["ray"]), "--engine", "ray"]) == 0
    assert "5 of 19 files have their row" in capsys.readouterr().err and len(whole) == 1 + 19
    for got, expected in zip(tables["ray"].read_text(encoding="utf-8").splitlines(), whole, strict=True):
        (*got, _), (*expected, _) = got.split(","), expected.split(",")
        prob = whole[0].split(",").index("probability")
        # A probability may differ in the last digits with the films that share its batch.
        if got[prob] not in ("", "probability"):
            assert float(got.pop(prob)) == pytest.approx(float(expected.pop(prob)), abs=1e-5)
        assert got == expected


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs /dev/fd")
def test_a_film_that_only_this_machine_sees_is_no_row_but_an_error(cluster):
    with open(__file__, "rb") as file:
        number = os.dup2(file.fileno(), 999, inheritable=False)
        here = Path(f"/dev/fd/{number}")  # an open file has this name in its own process alone
        answers = predict_files_on_ray(Predictor(load_shipped("cnn_baseline")), [here])
        with pytest.raises(PneumoError, match=r"/dev/fd/999 is seen here but not on .* --engine local"):
            list(answers)
        os.close(number)


def test_no_films_need_no_ray(monkeypatch):
    monkeypatch.setattr(ray, "init", None)
    assert list(predict_files_on_ray(Predictor(make_lively_checkpoint()), [])) == []


@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_ray_is_started_or_joined_where_it_is_not_there_and_left_afterwards(monkeypatch, address):
    calls = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **settings: calls.append(settings["address"]))
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(KeyError), ray_engine._connect(ray):
        raise KeyError  # whatever happens
    assert calls == [address or "local", "shutdown"]


def test_a_ray_that_runs_already_is_left_running(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "init", None)
    monkeypatch.setattr(ray, "shutdown", None)
    with ray_engine._connect(ray):
        pass


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    def refuse(**settings):
        raise ConnectionError("nobody there\nmore")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(PneumoError, match=r"10.0.0.1:6379 .*\(nobody there\)"), ray_engine._connect(ray):
        pass


def test_without_ray_a_sentence_says_what_to_install(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    path = tmp_path / "answers.csv"
    words = ["inference", str(folder), "--shipped", "--engine", "ray", "--csv", str(path)]
    assert main(words) == UsageError.exit_code
    assert 'pip install "pneumo-utils[ray]"' in capsys.readouterr().err and not path.exists()
