"""Batch inference beyond one machine: what `batch.predict_files` does, shared out by Ray Data.

An actor, one a CPU, answers a few batches a task. All travels as bytes, which keep every name as it is.
"""

import logging
import os
import pickle
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pneumo_utils.app.batch import BATCH_SIZE, predict_files
from pneumo_utils.app.predictor import Prediction, Predictor
from pneumo_utils.errors import PneumoError, UsageError, first_line

FILMS_PER_TASK = 4 * BATCH_SIZE  # whole batches, of the same films as in `predict_files`
RAY_HINT = 'Install it with `pip install "pneumo-utils[ray]"`.'


def predict_files_on_ray(predictor: Predictor, paths: Iterable[Path]) -> Iterator[Prediction]:
    """The answers of `predict_files`, computed by the actors of a Ray cluster.

    It uses the Ray that runs in this process, else the cluster that `RAY_ADDRESS` names, else one that it
    starts here and ends. Every machine needs this package and sees the films under the same path. While
    answers are taken a PneumoError says that no cluster answers, an actor is lost, or a film is not seen.
    """
    try:
        import ray.data
    except ImportError as error:
        raise UsageError(f"The engine ray needs Ray Data, which is not installed. {RAY_HINT}") from error
    paths = list(paths)
    tasks = [paths[start : start + FILMS_PER_TASK] for start in range(0, len(paths), FILMS_PER_TASK)]
    return _answer_tasks(ray, predictor, tasks) if tasks else iter(())


class FilmActor:
    """Reads and answers films in a process of its own; `checkpoint` is a reference in Ray's object store."""

    def __init__(self, checkpoint):
        import ray

        self.predictor = Predictor(ray.get(checkpoint))

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        """One task: {"paths": pickled} to {"report": pickled}."""
        answers = list(predict_files(self.predictor, pickle.loads(row["paths"]), num_readers=1))
        unseen = [answer.path for answer in answers if not os.path.exists(answer.path)]
        return {"report": pickle.dumps((platform.node(), unseen, answers))}


def _answer_tasks(ray, predictor: Predictor, tasks: list[list[Path]]) -> Iterator[Prediction]:
    with _connect(ray):
        reports = _plan(ray, ray.put(predictor.checkpoint), tasks).iter_rows()
        try:
            for paths, row in zip(tasks, reports, strict=True):
                for path, answer in zip(paths, _read_report(row["report"]), strict=True):
                    yield replace(predictor.decide_at(answer, predictor.threshold), path=str(path))
        except ray.exceptions.RayActorError as error:
            reason = str(error).strip().splitlines()[-1]  # the lines before it are the actor's traceback
            raise PneumoError(
                f"An actor of Ray did not start or was lost ({reason}). Every machine of the cluster needs "
                "this version of pneumo-utils with its libraries, and memory for them."
            ) from error


def _plan(ray, checkpoint, tasks: list[list[Path]]):
    """The dataset of reports, a row a task, in order; nothing runs before its rows are asked for."""
    num_actors = min(len(tasks), max(1, int(ray.cluster_resources().get("CPU", 1))))
    rows = [{"paths": pickle.dumps([path.absolute() for path in paths])} for paths in tasks]
    pool = ray.data.ActorPoolStrategy(size=num_actors)
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        FilmActor, fn_constructor_args=[checkpoint], num_cpus=1, compute=pool
    )
    dataset.context.execution_options.preserve_order = True
    dataset.context.enable_progress_bars = False
    return dataset


def _read_report(report: bytes) -> list[Prediction]:
    machine, unseen, answers = pickle.loads(report)
    for path in unseen:
        if os.path.exists(path):  # else it was taken away since it was listed, and its row says so
            raise PneumoError(
                f"{path} is seen here but not on {machine}, which was to read it; expected films "
                "on storage that all machines of the cluster share under the same path. Move them there, or "
                "use --engine local."
            )
    return answers


@contextmanager
def _connect(ray):
    """Ray, with few words of its own; one that runs already is used as it is and left running."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    address = os.environ.get("RAY_ADDRESS") or "local"
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # sockets, ports, versions, memory: Ray says it in its own words
        raise PneumoError(
            f"Ray does not answer at the address {address} ({first_line(error)}). Set RAY_ADDRESS to a "
            "cluster that runs, or leave it out to start one on this machine."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
