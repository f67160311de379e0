import numpy as np
import pytest
import torch

from nbtorchviz.session.scalars import as_epoch, as_phase, as_step


@pytest.mark.parametrize("given", [3, 3.0, np.int32(3), torch.tensor(3)])
def test_a_step_is_a_whole_number_however_it_is_written(given):
    assert as_step(given) == 3
    assert type(as_step(given)) is int


@pytest.mark.parametrize(
    ("given", "error"),
    [(1.5, ValueError), (float("inf"), ValueError), (True, ValueError), ("3", TypeError)],
)
def test_other_steps_are_refused(given, error):
    with pytest.raises(error, match="step must be a whole number, got "):
        as_step(given)


def test_phase_is_a_word():
    assert [as_phase(None), as_phase(""), as_phase("eval")] == ["train", "train", "eval"]
    with pytest.raises(TypeError, match="phase must be 'train' or 'eval', got 3"):
        as_phase(3)


def test_epoch_is_a_finite_number():
    assert as_epoch(torch.tensor(2)) == 2.0
    with pytest.raises(ValueError, match="epoch must be a finite number, got nan"):
        as_epoch(float("nan"))
    with pytest.raises(TypeError, match="'epoch' must be a number"):
        as_epoch("two")
