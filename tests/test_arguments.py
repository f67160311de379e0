import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.arguments import flag, names, real, said, whole


def half(value):
    return real("share", value, "from 0 to 1", lambda share: 0 <= share <= 1)


@pytest.mark.parametrize("given", [3, np.int64(3), torch.tensor(3)])
def test_whole_numbers_of_any_library_are_plain_ones_afterwards(given):
    assert type(whole("channel", given)) is int
    assert whole("channel", given) == 3


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (-1, ValueError),
        (1.5, ValueError),
        (float("nan"), ValueError),
        (True, ValueError),
        ("2", TypeError),
        (None, TypeError),
        (torch.zeros(3), TypeError),
        ([1], TypeError),
    ],
)
def test_what_is_no_whole_number_is_refused_by_name(given, error):
    with pytest.raises(error, match="channel must be a whole number from 0, got "):
        whole("channel", given)


@pytest.mark.parametrize("given", [0, 0.5, np.float32(0.5), np.int64(1)])
def test_numbers_in_range_become_floats(given):
    assert type(half(given)) is float


@pytest.mark.parametrize(
    ("given", "error"),
    [(2, ValueError), (float("nan"), ValueError), (True, ValueError), ("a", TypeError)],
)
def test_numbers_out_of_range_are_refused(given, error):
    with pytest.raises(error, match="share must be from 0 to 1, got "):
        half(given)


def test_only_true_and_false_are_flags():
    assert flag("hold", True) is True
    assert flag("hold", np.False_) is False
    for wrong in (1, "yes", None, torch.tensor(True)):
        with pytest.raises(TypeError, match="hold must be True or False, got "):
            flag("hold", wrong)


def test_names_keep_their_order_and_one_string_is_no_list_of_its_letters():
    assert names("class_names", range(2), "names") == ("0", "1")
    assert names("class_names", np.array(["cat", "dog"]), "names") == ("cat", "dog")
    for wrong in ("cat", {"cat", "dog"}, {0: "cat"}, 5):
        with pytest.raises(TypeError, match="class_names must be names, got "):
            names("class_names", wrong, "names")
    with pytest.raises(TypeError, match=r"class_names\[1\] must be a name, got None"):
        names("class_names", ["cat", None], "names")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        ("a", "'a'"),
        (torch.zeros(2, 3), "Tensor of shape (2, 3)"),
        (np.zeros(4), "ndarray of shape (4,)"),
        (nn.Linear, "the class Linear"),
        (nn.ReLU(), "ReLU"),
        (len, "builtin_function_or_method len"),
        (object(), "object"),
    ],
)
def test_what_was_given_is_said_without_an_address(value, words):
    assert said(value) == words


def test_long_values_are_said_in_short():
    assert len(said("x" * 1000)) < 60
    assert len(said(list(range(1000)))) < 60
