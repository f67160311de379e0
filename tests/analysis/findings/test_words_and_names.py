import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbtorchviz.analysis.findings.facts import ModelFacts
from nbtorchviz.analysis.findings.names import collapse, layer_of, module_of
from nbtorchviz.analysis.findings.words import listed, number, percent, steps, times


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.0123"), (3.1e-7, "3.1e-7"), (1230.0, "1,230"), (2e8, "2e8"), (0, "0")],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(3149, "3,100"), (2.54, "2.5"), (1.5e8, "150 million"), (2.1e10, "2.1e10"), (0.05, "0.05")],
)
def test_factors(ratio, text):
    assert times(ratio) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.9999, "over 99.9 %"), (0.5, "50 %"), (1e-5, "under 0.1 %"), (0.0, "0 %")],
)
def test_shares(share, text):
    assert percent(share) == text


@given(st.floats())
def test_any_number_can_be_written(value):
    assert number(value)
    assert times(value)
    assert percent(value)


def test_steps_and_lists():
    assert steps(40, 140) == "steps 40-140"
    assert steps(7, 7) == "step 7"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh")) == "a, b, c, d and 4 more"
    assert listed([]) == ""


def test_owners():
    assert layer_of("layer1.0.conv1.weight") == "layer1.0.conv1"
    assert layer_of("position") == "position"
    assert module_of("layer1.0.relu#1") == "layer1.0.relu"
    assert module_of("a#b") == "a#b"


def test_collapse_by_hand():
    everything = ["stem", "body.0.conv", "body.0.norm", "body.1.conv", "fc"]
    assert collapse(["body.0.conv", "body.0.norm"], everything) == {
        "body.0": ["body.0.conv", "body.0.norm"]
    }
    assert collapse(["body.0.conv", "fc"], everything) == {
        "body.0.conv": ["body.0.conv"],
        "fc": ["fc"],
    }
    assert list(collapse(everything, everything)) == [""]


PATHS = st.lists(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join), unique=True, max_size=10
)


@given(PATHS, st.data())
def test_collapse_tells_each_layer_once_and_never_a_healthy_one(everything, data):
    ill = data.draw(
        st.lists(st.sampled_from(everything), unique=True) if everything else st.just([])
    )
    groups = collapse(ill, everything)
    assert sorted(layer for members in groups.values() for layer in members) == sorted(ill)
    for block, members in groups.items():
        inside = [x for x in everything if block in ("", x) or x.startswith(f"{block}.")]
        # a lone layer may hold others that are well (attention holds its projection)
        assert sorted(members) == sorted(inside) or members == [block]


def test_layers_that_were_not_seen_follow_those_before_them():
    facts = ModelFacts()
    facts.called(("conv", "attention", "fc"))
    order = facts.in_order(["fc", "attention", "attention.out_proj", "conv"])
    assert order == ["conv", "attention", "attention.out_proj", "fc"]


def test_without_a_list_of_layers_blocks_are_known_from_their_names():
    facts = ModelFacts()
    facts.called(("body.0", "body.1", "body", "head"))
    assert [facts.is_leaf(k) for k in ("body.0", "body", "head", "input")] == [
        *(True, False, True, False)
    ]
