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


@pytest.mark.parametrize(
    ("given", "phase"),
    [
        (None, "train"),
        ("train", "train"),
        *[(word, "eval") for word in ("eval", "val", "valid", "validation")],
    ],
)
def test_phase_is_train_or_eval_however_it_is_called(given, phase):
    assert as_phase(given) == phase


@pytest.mark.parametrize(
    ("given", "error"),
    [("test", ValueError), ("trian", ValueError), ("", ValueError), (3, TypeError)],
)
def test_other_phases_are_refused(given, error):
    words = f"phase must be 'train' or 'eval' .* 'val', 'valid', 'validation'.*, got {given!r}"
    with pytest.raises(error, match=words):
        as_phase(given)


def test_epoch_is_a_finite_number():
    assert as_epoch(torch.tensor(2)) == 2.0
    with pytest.raises(ValueError, match="epoch must be a finite number, got nan"):
        as_epoch(float("nan"))
    with pytest.raises(TypeError, match="'epoch' must be a number"):
        as_epoch("two")
