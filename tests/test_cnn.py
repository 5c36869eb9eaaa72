"""The baseline's size, and the receptive field: by hand, and by the gradient that shows what counts in it."""

import numpy as np
import pytest
import torch
from torch import nn

from pneumo_utils.models.cnn import compute_side, measure_receptive_field
from pneumo_utils.models.registry import build_model


def test_the_baseline_is_small():
    assert sum(p.numel() for p in build_model("cnn_baseline").parameters()) <= 2_000_000


def test_the_parameters_are_counted():
    # A 3 x 3 convolution and the scale and shift of its normalisation, for each pair of neighbouring widths.
    pairs = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    pairs += [(128, 256), (256, 256)]
    expected = sum(9 * before * after + 2 * after for before, after in pairs) + 256 + 1
    assert sum(p.numel() for p in build_model("cnn_baseline").parameters()) == expected


def conv(*, kernel: int = 3, stride: int = 1, value: float = 1.0) -> nn.Conv2d:
    layer = nn.Conv2d(1, 1, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def test_the_side_grows_by_a_rim_at_each_layer_and_twice_as_fast_behind_each_halving():
    layers = [conv(), conv(stride=2), nn.ReLU(), conv(), conv(kernel=5, stride=2)]
    # 1 + 2 = 3; + 2 = 5, and a step of 2 pixels from here; + 2 * 2 = 9; + 4 * 2 = 17, step 4.
    assert [compute_side(nn.Sequential(*layers[:n])) for n in (1, 2, 4, 5)] == [
        (3, 1),
        (5, 2),
        (9, 2),
        (17, 4),
    ]
    assert compute_side(nn.Conv2d(1, 1, 3, dilation=2)) == (5, 1)


def test_two_filters_of_ones_pull_by_the_number_of_their_ways():
    field = measure_receptive_field(nn.Sequential(conv(), conv()), torch.zeros(2, 1, 9, 9))
    # In one direction 1, 2, 3, 2, 1 ways lead to the middle; in two their products, 9 at most.
    ways = np.array([1, 2, 3, 2, 1])
    expected = np.zeros((9, 9))
    expected[2:7, 2:7] = np.outer(ways, ways) / 9
    assert (field.side, field.centre) == (5, (4, 4))
    np.testing.assert_allclose(field.pull, expected, atol=1e-6)


def test_the_square_lies_about_the_pixel_that_the_middle_place_stands_for():
    layers = nn.Sequential(conv(stride=2), conv(stride=2))
    field = measure_receptive_field(layers, torch.zeros(1, 1, 16, 16))
    # Place 2 of 4, 4 pixels a place: pixel 8. The side is 3 + 2 * 2 = 7, so 5 to 11 on either axis.
    rows, columns = np.nonzero(field.pull)
    assert (field.side, field.centre) == (7, (8, 8))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 11, 5, 11)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training):
    model = build_model("cnn_baseline").train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = torch.randn(2, 1, 64, 64)
    measure_receptive_field(model.features, inputs)
    assert model.features.training is training and inputs.grad is None
    assert all(weights.grad is None for weights in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
