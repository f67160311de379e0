"""Rectangles around the place where NaN began, and parameters of the step before."""

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.capture.nonfinite_earlier import MOST_BYTES, EarlierWeights
from nbtorchviz.capture.nonfinite_pieces import first_bad, piece_of, place_in
from nbtorchviz.nonfinite import MOST_VALUES


def test_a_piece_is_bounded_owned_and_holds_the_place():
    big = torch.arange(10 * 3 * 100 * 200.0).reshape(10, 3, 100, 200)
    big[7, 2, 90, 150] = torch.nan
    where = first_bad(big)
    assert where == (7, 2, 90, 150)
    piece = piece_of("x", big, where)
    top, left = piece.start[2:]
    rows, columns = piece.values.shape
    assert rows * columns <= MOST_VALUES
    assert piece.start[:2] == (7, 2)
    assert np.isnan(piece.values[90 - top, 150 - left])
    assert piece.place == f"[7, 2, {top}:{top + rows}, {left}:{left + columns}]"
    assert piece.whole.nan == 1
    expected = float(big[7, 2, top, left])
    big.zero_()
    assert piece.values[0, 0] == expected


@pytest.mark.parametrize(
    ("shape", "around", "cut", "start"),
    [
        ((), (), (1, 1), ()),
        ((5,), (), (1, 5), (0,)),
        ((1000,), (700,), (1, 128), (636,)),
        ((3, 4), (2, 1), (3, 4), (0, 0)),
        ((500, 2), (499, 0), (128, 2), (372, 0)),
        ((2, 70, 70), (1, 69, 0), (64, 64), (1, 6, 0)),
    ],
)
def test_a_piece_lies_around_its_place(shape, around, cut, start):
    piece = piece_of("x", torch.zeros(shape), around)
    assert (piece.values.shape, piece.start) == (cut, start)
    assert (piece.place == "") == (int(np.prod(shape)) == piece.values.size)


def test_nan_goes_before_infinity():
    assert first_bad(torch.tensor([[1.0, torch.inf], [torch.nan, 2.0]])) == (1, 0)
    assert first_bad(torch.tensor([[1.0, -torch.inf]])) == (0, 1)
    assert first_bad(torch.ones(2)) == ()


@pytest.mark.parametrize(
    ("shape", "where", "result", "expected"),
    [
        ((4, 3), (2, 1), (4, 3), (2, 1)),  # elementwise
        ((4, 3), (2, 5), (4, 6), (2, 0)),  # linear: the same sample
        ((6, 3), (2, 5), (4, 6), (5, 1)),  # a weight: its largest value
        ((4, 3), (), (), (3, 2)),  # a mean, likewise
    ],
)
def test_the_place_in_an_input_that_belongs_to_a_result(shape, where, result, expected):
    tensor = torch.zeros(shape)
    tensor[expected] = -7.0
    assert place_in(tensor, where, result) == expected


@pytest.mark.parametrize("fresh", [True, False])
def test_parameters_are_those_of_the_forward_before(fresh):
    layer = nn.Linear(2, 1, bias=False)
    kept = EarlierWeights(layer, fresh=fresh)
    seen = []
    for step in (1, 4, 9, 10):
        with torch.no_grad():
            layer.weight.fill_(step)
        before = kept.turn(step)
        seen.append(before and (before.step, before.values["weight"].tolist()))
    assert seen == [None, (1, [[1.0, 1.0]]), (4, [[4.0, 4.0]]), (9, [[9.0, 9.0]])]


def test_of_a_large_model_the_first_rows_are_kept():
    model = nn.Sequential(nn.Linear(1000, 1000), nn.Linear(8, 8))
    kept = EarlierWeights(model, fresh=False)
    kept.turn(1)
    found = kept.turn(2).values
    assert found["0.weight"].shape == (4, 1000)
    assert found["1.weight"].shape == (8, 8)
    assert sum(it.numel() * it.element_size() for it in found.values()) <= MOST_BYTES


def test_a_parameter_that_was_taken_away_ends_it():
    layer = nn.Linear(2, 1)
    kept = EarlierWeights(layer, fresh=False)
    kept.turn(1)
    del layer.bias
    assert kept.turn(2) is None
    assert kept.turn(3) is None
    assert kept.turn(4).values == {}
