from fractions import Fraction

import numpy as np
import pytest
import torch

from nbtorchviz.session.scalars import as_epoch, as_number, as_phase, as_step


@pytest.mark.parametrize("given", [3, 3.0, np.int32(3), torch.tensor(3)])
def test_a_step_is_a_whole_number_however_it_is_written(given):
    assert as_step(given) == 3
    assert type(as_step(given)) is int


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (1.5, ValueError),
        (float("inf"), ValueError),
        (True, ValueError),
        ("3", TypeError),
        (torch.tensor(0.5), TypeError),
    ],
)
def test_other_steps_are_refused_and_a_name_is_asked_for(given, error):
    words = r"step must be a whole number \(.*log\(loss=loss\)\), got "
    with pytest.raises(error, match=words):
        as_step(given)


@pytest.mark.parametrize("given", [2**70, -(2**70), 1e300, np.uint64(2**63)])
def test_a_step_too_large_to_keep_is_refused(given):
    with pytest.raises(ValueError, match=r"step must be from -2\*\*62 to 2\*\*62, got "):
        as_step(given)


@pytest.mark.parametrize("kind", [int, Fraction])
def test_a_number_too_large_for_a_float_names_its_metric(kind):
    with pytest.raises(ValueError, match=r"metric 'loss' must be .* 1\.8e\+308, got "):
        as_number("loss", kind(10**400))


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
