from dataclasses import replace

import numpy as np
import pytest

from nbtorchviz.analysis.findings.activation_rules import (
    WINDOW,
    ChannelHistory,
    almost_dead_relu,
    dead_channels,
    dead_relu,
    saturated,
)
from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Health
from nbtorchviz.events import Statistics

USUAL = Statistics(
    count=4_000, sampled=2_000, minimum=0.0, maximum=1.0, mean=0.2, std=0.3, zero_share=0.6
)


def with_zeros(share):
    return replace(USUAL, zero_share=share)


def test_dead_relu_by_hand():
    verdict = dead_relu("ReLU", with_zeros(1.0))
    assert verdict.claim == "Dead ReLU: {who} puts out zeros only, and no gradient passes it"
    assert verdict.evidence == "100 % of its output is 0 (2,000 values read)"


def test_a_sparse_layer_is_not_dead():
    assert dead_relu("ReLU", with_zeros(0.9995)) is UNSURE  # a sparse autoencoder
    assert dead_relu("ReLU", with_zeros(0.95)) is HEALTHY


def test_almost_dead_by_hand():
    verdict = almost_dead_relu("ReLU", with_zeros(0.987))
    assert verdict.claim == "{who} is almost dead: it puts out hardly anything but zeros"
    assert verdict.evidence == "98.7 % of its output is 0 (2,000 values read)"
    assert almost_dead_relu("ReLU", with_zeros(0.96)) is UNSURE
    assert almost_dead_relu("ReLU", with_zeros(0.94)) is HEALTHY
    assert almost_dead_relu("Dropout", with_zeros(0.99)) is HEALTHY
    assert almost_dead_relu("ReLU", Statistics(count=8, sampled=8, zero_share=1.0)) is UNSURE


@pytest.mark.parametrize("kind", ["Conv2d", "Dropout", "Embedding", "", "GELU", "BatchNorm2d"])
def test_only_layers_with_a_flat_part_die(kind):
    assert dead_relu(kind, with_zeros(1.0)) is HEALTHY


def test_a_few_zeros_are_no_evidence():
    few = Statistics(count=8, sampled=8, zero_share=1.0)
    assert dead_relu("ReLU", few) is UNSURE
    assert dead_relu("ReLU", Statistics(count=0, sampled=0)) is UNSURE


def statistics_of(values):
    return Statistics(
        count=len(values), sampled=len(values), mean=float(np.mean(values)), std=np.std(values)
    )


def test_saturated_tanh_by_hand():
    # half at 1, half at -1: mean 0, std 1, mean slope 1 - 1 = 0, all at the limits
    verdict = saturated("Tanh", statistics_of([1.0, -1.0] * 50))
    assert verdict.claim == "{who} is saturated: at least 100 % of its outputs are at the limits"
    assert verdict.evidence == "within 0.05 of -1 or 1; its mean slope is 0, at best 1"


def test_saturated_sigmoid_has_the_mean_of_its_own_slopes():
    outputs = np.array([0.001, 0.999, 0.02, 0.995] * 10)
    verdict = saturated("Sigmoid", statistics_of(outputs))
    slope = np.mean(outputs * (1 - outputs))  # the derivative, value by value
    assert f"mean slope is {slope:.3g}, at best 0.25" in verdict.evidence
    assert "within 0.025 of 0 or 1" in verdict.evidence


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 1.0])
def test_the_share_at_the_limits_is_a_lower_bound(share):
    rng = np.random.default_rng(0)
    count = int(1_000 * share)
    near = rng.uniform(0.95, 1.0, count) * rng.choice([-1, 1], count)
    values = np.concatenate([near, rng.uniform(-0.94, 0.94, 1_000 - count)])
    verdict = saturated("Tanh", statistics_of(values))
    if verdict.health is Health.SICK:
        told = float(verdict.claim.split("least ")[1].split(" %")[0])
        assert told <= 100 * share + 0.1
    else:
        assert share < 1


def test_healthy_squashing_layers():
    assert saturated("Tanh", statistics_of(np.tanh(np.linspace(-2, 2, 99)))) is HEALTHY
    assert saturated("Sigmoid", statistics_of(np.full(99, 0.5))) is HEALTHY
    assert saturated("ReLU", statistics_of([1.0, -1.0] * 50)) is HEALTHY


def test_states_at_their_limits_are_those_of_a_tanh_only_where_some_are_negative():
    values = [1.0, -1.0] * 50
    states = replace(statistics_of(values), minimum=min(values), maximum=max(values))
    verdict = saturated("RNN", states)
    assert verdict.claim == "{who} is saturated: at least 100 % of its states are at the limits"
    assert verdict.evidence.startswith("within 0.05 of -1 or 1; its mean slope is 0, at best 1")
    of_relu = replace(statistics_of([1.0, 0.99] * 50), minimum=0.99, maximum=1.0)
    assert saturated("RNN", of_relu) is HEALTHY
    assert saturated("LSTM", states) is HEALTHY


def test_numbers_that_no_tanh_puts_out_say_nothing():
    assert saturated("Tanh", statistics_of([5.0, -5.0] * 50)) is UNSURE
    assert saturated("Tanh", Statistics(count=9, sampled=9)) is UNSURE
    assert saturated("Tanh", statistics_of([float("nan")] * 50)) is UNSURE


def test_dead_channels_by_hand():
    history = ChannelHistory(np.zeros(4, np.int64))
    for batch in range(WINDOW):
        history.add(np.array([True, False, True, batch > 0]))
        assert (history.dead() is None) == (batch < WINDOW - 1)
    assert history.dead() == [0, 2]  # channel 3 was alive in the first batch
    verdict = dead_channels("ReLU", 4, [0, 2])
    assert verdict.claim == "Dead channels: 2 of 4 in {who} (0 and 2)"
    assert dead_channels("ReLU", 4, [0, 2], "neurons").claim.startswith("Dead neurons: 2 of 4 in")


def test_some_dead_channels_are_usual():
    assert dead_channels("ReLU", 10, [0, 1, 2]) is HEALTHY
    assert dead_channels("ReLU", 20, list(range(9))) is UNSURE
    assert dead_channels("ReLU", 10, None) is UNSURE
    assert dead_channels("Conv2d", 10, list(range(10))) is HEALTHY


def test_a_channel_that_wakes_up_is_alive():
    history = ChannelHistory(np.zeros(2, np.int64))
    for _ in range(WINDOW):
        history.add(np.array([True, True]))
    history.add(np.array([True, False]))
    assert history.dead() == [0]
