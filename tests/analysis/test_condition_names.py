"""What a bare word in a condition means: a metric, a function of the model, or neither."""

import pytest

from nbtorchviz.analysis.conditions import ConditionError, parse_condition
from tests.analysis.known_facts import truth, why


@pytest.mark.parametrize("name", ["grad_norm", "weight_norm", "update_ratio"])
def test_the_bare_name_of_a_function_of_the_whole_model_means_that(name):
    assert truth(f"{name} > 2", statistics={(name, ""): 3.0}) is True
    assert truth(f"isnan({name})", statistics={(name, ""): float("nan")}) is True
    assert truth(f"{name} > 2") is None
    assert why(f"{name} > 2", statistics={(name, ""): 3.0}) == f"{name} = 3 > 2"


@pytest.mark.parametrize("name", ["grad_norm", "lr"])
def test_a_metric_that_is_logged_under_such_a_name_is_meant(name):
    facts = {"statistics": {("grad_norm", ""): 3.0}, "lr": 3.0}
    assert truth(f"{name} > 2", **facts) is True
    assert truth(f"{name} > 2", **facts, metrics={name: 1.0}) is False
    assert truth(f"{name}() > 2", **facts, metrics={name: 1.0}) is True


def test_both_that_a_bare_name_may_mean_are_read():
    [lookup] = parse_condition("grad_norm > 2").lookups()
    assert lookup.reads == (("grad_norm", ""), ("metric", "grad_norm"))


def test_the_learning_rate_is_a_fact():
    assert truth("lr < 0.01", lr=0.001) is True
    assert why("lr() < 0.01", lr=0.001) == "lr() = 0.001 < 0.01"
    assert truth("lr < 0.01") is None
    with pytest.raises(ConditionError, match=r"lr\(\) takes nothing"):
        parse_condition("lr(0) < 0.01")


@pytest.mark.parametrize("text", ["1 < 2", "isnan(0)", "loss > 5 or 1 < 2", "not 2 ** 3 == 8"])
def test_what_nothing_can_change_is_no_condition(text):
    with pytest.raises(ConditionError, match=r"never changes; compare .* such as loss > 5"):
        parse_condition(text)


@pytest.mark.parametrize("text", ["loss > 5%", "step() % 10 == 0", "step() % 10"])
def test_a_percent_sign_is_answered_with_what_to_write(text):
    with pytest.raises(ConditionError, match=r"0\.05 for 5 %.*facts\.step % 10 == 0"):
        parse_condition(text)
