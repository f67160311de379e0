import numpy as np

from nbtorchviz.session.silence import WINDOW, SilentChannels


def test_channel_is_dead_only_after_a_whole_window_of_zero_batches():
    silence = SilentChannels()
    for step in range(WINDOW - 1):
        silence.observe("relu", step, np.array([True, False]))
    assert silence.dead("relu") == {}
    silence.observe("relu", WINDOW, np.array([True, False]))
    assert silence.dead("relu") == {0: 0}


def test_one_active_batch_brings_a_channel_back_and_the_count_starts_anew():
    silence = SilentChannels()
    for step in range(WINDOW):
        silence.observe("relu", step, np.array([True]))
    silence.observe("relu", 100, np.array([False]))
    assert silence.dead("relu") == {}
    for step in range(101, 101 + WINDOW):
        silence.observe("relu", step, np.array([True]))
    assert silence.dead("relu") == {0: 101}


def test_unknown_layer_has_no_dead_channels():
    assert SilentChannels().dead("conv") == {}
