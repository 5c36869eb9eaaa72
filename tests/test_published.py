"""Figures of our own beside published ones, as a table and as a figure."""

import matplotlib.pyplot as plt
import pytest
from conftest import read_texts

from pneumo_utils.evaluation.results import PUBLISHED, format_beside_published
from pneumo_utils.plots.evaluation import plot_beside_published

ROW = {
    "model": "cnn_baseline",
    "data": "chestxray2017",
    "n": 8,
    "accuracy": 0.75,
    "auroc": 0.9,
    "intervals": {"accuracy": (0.5, 1.0), "auroc": (0.8, 0.95)},
    "confusion": {"tn": 1, "fp": 1, "fn": 1, "tp": 5},
}


def test_the_table_has_intervals_for_ours_sources_for_others_and_the_rival_without_films():
    head, _, ours, *others, rival = format_beside_published([ROW]).splitlines()
    assert ours == "| **ours**: `cnn_baseline` | 75.0 (50.0 to 100.0) | 0.900 (0.800 to 0.950) | here |"
    assert len(others) == len(PUBLISHED) and all("](https://" in line for line in others)
    assert "| 92.8 | 0.968 |" in next(line for line in others if "Kermany" in line)
    assert rival == "| calling every film pneumonia | 75.0 | 0.500 | |"  # 6 of 8 are ill
    assert len({line.count("|") for line in (head, ours, *others, rival)}) == 1


def test_other_films_are_named():
    ours = format_beside_published([ROW | {"data": "synthetic"}]).splitlines()[2]
    assert ours.endswith("| here, on other films: SYNTHETIC |")


@pytest.mark.usefixtures("closed_figures")
def test_the_figure_marks_each_figure_and_draws_the_intervals_of_ours():
    figure = plot_beside_published([ROW, ROW | {"model": "other"}], title="Beside")
    texts = read_texts(figure)
    assert all(text in texts for text in ("Beside", "ours: other", "75.0%", "0.900", "92.8%", "0.968"))
    for axes, metric in zip(figure.axes, ("accuracy", "auroc"), strict=True):
        lines = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
        assert lines == [ROW["intervals"][metric]] * 2
        assert len(axes.texts) == 2 + len(PUBLISHED)
    plt.close(figure)
