import copy
import gc
import pickle
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.errors import LayerNotFoundError, RunRefusedError, SessionClosedError
from nbtorchviz.events import (
    ActivationCaptured,
    Event,
    FaultRaised,
    GradientCaptured,
    InputCaptured,
    ModelAttached,
    ScalarLogged,
)
from nbtorchviz.session import as_session, find_session, watch
from nbtorchviz.session.looks import Look
from nbtorchviz.widgets.facts import session_state
from nbtorchviz.widgets.selection import Selection


class Nobody:
    """A widget's presence that no browser ever saw."""

    ever = False

    def any_visible(self, *, hearing=True):
        return False

    any_open = any_visible


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 3)
    )


@pytest.fixture
def opened():
    sessions = []
    yield lambda *args, **kwargs: sessions.append(watch(*args, **kwargs)) or sessions[-1]
    for session in sessions:
        session.close()


def look_at(session, layer, **how):
    session.audience.join(1, Nobody(), lambda: True)
    session.recorder.looks.set(1, Look(layer, **how))


def train(net, steps, log=None, criterion=None, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=0.1)
    criterion = criterion or nn.CrossEntropyLoss()
    x, y = torch.randn(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        if log is not None:
            log(loss)
    return x


def test_one_model_has_one_session_also_under_a_wrapper(net, opened):
    session = opened(net)
    assert opened(net) is session
    assert opened(nn.DataParallel(net)) is session
    assert find_session(net) is session
    assert find_session(copy.deepcopy(net)) is None


class EqualNet(nn.Sequential):
    def __eq__(self, other):
        return isinstance(other, EqualNet)

    def __hash__(self):
        return 1


def test_models_that_compare_equal_have_a_session_each(opened):
    one, other = EqualNet(nn.Linear(2, 2)), EqualNet(nn.Linear(2, 2))
    sessions = opened(one), opened(other)
    assert sessions[0].model is one
    assert sessions[1].model is other
    assert find_session(one) is sessions[0] is opened(one)
    sessions[0].probe(torch.zeros(1, 2))  # each is asked for its own model
    del one
    gc.collect()
    assert find_session(other) is sessions[1]


class Turned(nn.Sequential):
    def forward(self, x):
        return super().forward(x.transpose(1, 2))


@pytest.mark.parametrize(
    ("kind", "shape", "axes"),
    [(nn.Sequential, (4, 2, 40), ("C", "L")), (Turned, (4, 40, 2), ("T", "D"))],
)
def test_the_input_of_a_1d_convolution_has_its_axes(opened, kind, shape, axes):
    net = kind(nn.Conv1d(2, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    session = opened(net, probe=torch.randn(shape))
    assert session.recorder.input["pinned"].axes == axes
    session.close()
    session = opened(net, every=1)
    look_at(session, "input")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        net(torch.randn(shape)).square().sum().backward()
        optimizer.step()
    session.flush()
    assert session.recorder.input["batch"].axes == axes


def test_an_optimizer_of_another_model_is_told_and_its_steps_do_not_count(net, opened):
    old = copy.deepcopy(net)
    optimizer = torch.optim.SGD(old.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match=r"holds none of this model's parameters \(Sequential\)"):
        session = opened(net, optimizer)
    train(old, 3, optimizer=optimizer)
    assert session.step == 0
    said = session_state(session)
    assert "made anew" in " ".join(said["status"]["lines"])
    assert "holds none" in said["chip"]["why"]
    assert "compiled" not in said["chip"]["why"]
    own = torch.optim.SGD(net.parameters(), lr=0.1)
    opened(net, own)
    train(net, 3, optimizer=own)
    assert session.step == 3
    assert "holds none" not in session_state(session)["chip"]["why"]


def test_the_seconds_of_a_training_stand_still_while_it_does(net, opened):
    session = opened(net, every=1)
    train(net, 2)
    session.flush()
    before = session_state(session)["elapsed_s"]
    session.recorder.times["forward"] -= 100.0  # as if it had been so long ago
    assert 0 < before < session.elapsed_s
    assert session_state(session)["elapsed_s"] == pytest.approx(before - 100, abs=0.5)


def test_an_empty_list_of_optimizers_names_none(net, opened):
    session = opened(net, [])
    train(net, 2)
    assert (session.step, session.tap.strangers) == (2, False)


def test_later_watch_changes_only_what_it_passes(net, opened):
    session = opened(net, every=3, class_names=["a", "b", "c"])
    opened(net, class_names=["x", "y", "z"])
    assert session.recorder.every == 3
    assert session.class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.optim.SGD([torch.zeros(1)]),), "got SGD. Did you swap the arguments"),
        ((nn.Linear,), r"the class Linear. Did you mean an instance\? watch\(Linear\(\)\)"),
        (("net",), r"watch\(\) needs a torch.nn.Module, got str"),
        ((None,), "got NoneType"),
        ((nn.Linear(1, 1), nn.Linear(1, 1)), "needs a torch.optim.Optimizer"),
    ],
)
def test_wrong_arguments_are_refused_with_what_to_do(arguments, message):
    with pytest.raises(TypeError, match=message):
        watch(*arguments)


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"every": True}, {"budget": 0}, {"budget": 2}, {"compiled": "no"}]
)
def test_values_out_of_range_are_refused(net, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        watch(net, **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"budget": "x"},
            r"budget must be the share of training time .* \(by default 0.02\), got 'x'",
        ),
        ({"every": "2"}, "every must be a whole number from 1, got '2'"),
        ({"class_names": 5}, "class_names must be a sequence of names by class index, got 5"),
        ({"class_names": "cat"}, "class_names must be a sequence .* got 'cat'"),
        ({"layout": "HWC"}, "layout must be {layer: axes}, such as .* got 'HWC'"),
        ({"layout": {0: "HWC"}}, 'layout must be .* with names of layers; .* write "0", got 0'),
        ({"layout": {"0": 5}}, "layout of '0' must be a sequence of axes, .* got 5"),
        ({"criterion": nn.MSELoss}, r"Did you mean an instance\? criterion=MSELoss\(\)"),
        ({"criterion": len}, "criterion must be the loss module .* Leave it out where"),
        ({"probe": torch.zeros(1, 1, 4, 4), "labels": "cat"}, "labels must be class indices"),
    ],
)
def test_values_of_a_wrong_type_are_refused_with_what_is_accepted(net, opened, wrong, message):
    session = opened(net)
    with pytest.raises(TypeError, match=message):
        watch(net, **wrong)
    assert session.recorder.pinned is False


def test_one_wrong_value_leaves_the_session_as_it_was(net, opened):
    session = opened(net, every=3, class_names=["a", "b", "c"])
    with pytest.raises(TypeError, match="budget"):
        watch(net, every=5, class_names=["x"], budget="x")
    assert session.recorder.every == 3
    assert session.class_names == ("a", "b", "c")


def test_labels_without_a_probe_are_refused(net):
    with pytest.raises(ValueError, match=r"watch\(model, probe=x, labels=y\)"):
        watch(net, labels=[1, 2])
    assert find_session(net) is None


def test_scripted_model_is_refused_in_words():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates tracing
        scripted = torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(TypeError, match="eager model"):
        watch(scripted)


def test_every_nth_step_is_sampled_exactly_and_carries_the_step_it_completes(net, opened):
    session, seen = opened(net, every=3), []
    look_at(session, "0")
    session.bus.subscribe(ActivationCaptured, seen.append)
    train(net, 10)
    session.flush()
    assert [event.step for event in seen if event.layer == "0"] == [3, 6, 9]
    assert session.step == 10


def test_picture_is_what_the_layer_put_out_before_the_inplace_relu(net, opened):
    session, seen = opened(net, every=1), []
    look_at(session, "0", sample=2)
    session.bus.subscribe(ActivationCaptured, seen.append)
    before = copy.deepcopy(net)
    x = train(net, 1)
    session.flush()
    event = next(event for event in seen if event.layer == "0")
    expected = before[0](x)[2].detach().numpy()
    assert event.values.min() < 0
    assert event.values == pytest.approx(expected, abs=0)
    assert event.shape == (6, 4, 4, 4)


def test_input_comes_with_label_and_prediction(net, opened):
    criterion = nn.CrossEntropyLoss()
    session, seen = opened(net, criterion=criterion, every=1), []
    look_at(session, "0", sample=4)
    session.bus.subscribe(InputCaptured, seen.append)
    before = copy.deepcopy(net)
    x = train(net, 1, criterion=criterion)
    session.flush()
    scores = before(x)[4].detach().softmax(0)
    assert seen[0].label == 1
    assert seen[0].prediction == int(scores.argmax())
    assert seen[0].probability == pytest.approx(float(scores.max()), rel=1e-5)


def test_events_are_enough_to_replay_a_run(net, opened):
    session, seen = opened(net, every=2), []
    look_at(session, "0", gradient=True)
    session.bus.subscribe(Event, seen.append)
    train(net, 4, log=lambda loss: session.log(loss=loss))
    session.flush()
    kinds = [type(event) for event in seen]
    for kind in (ModelAttached, InputCaptured, ActivationCaptured, GradientCaptured, ScalarLogged):
        assert kind in kinds
    assert not session.faults


def test_nothing_is_hooked_without_a_widget_and_nothing_stays_after_the_last(net, opened):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())

    session = opened(net)
    assert hooks() == 0
    look_at(session, "0")
    assert hooks() == 2
    session.audience.leave(1)
    assert hooks() == 0


def test_model_dies_although_it_was_watched_trained_and_looked_at():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(64, 3))
    session = watch(net, every=1)
    look_at(session, "0", gradient=True)
    train(net, 3)
    alive = weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None
    assert session.tap.gone
    session.close()


def test_log_takes_numbers_and_scalar_tensors_and_keeps_nan(net, opened):
    session = opened(net)
    session.log(loss=torch.tensor(0.5, requires_grad=True), accuracy=1, other=float("nan"))
    steps, values = session.metrics.history("loss")
    assert (list(steps), list(values)) == ([0], [0.5])
    assert list(session.metrics.history("accuracy").values) == [1.0]
    assert session.metrics.history("other").values[0] != session.metrics.history("other").values[0]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (torch.zeros(3), ValueError, r"'loss' has shape \(3,\); log one number, such as loss.mean"),
        ("0.5", TypeError, "'loss' must be a number or a tensor with one element, got str"),
        (None, TypeError, "got NoneType"),
        (torch.tensor(1j), TypeError, "complex"),
    ],
)
def test_what_is_no_number_is_refused_by_name(net, opened, value, error, message):
    with pytest.raises(error, match=message):
        opened(net).log(loss=value)


def test_probe_shows_activations_without_training_and_leaves_no_trace(opened):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
    session, seen = opened(net), []
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    look_at(session, "1", pinned=True)
    session.bus.subscribe(ActivationCaptured, seen.append)
    session.probe(torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(1)))
    session.flush()
    assert {event.layer for event in seen} == {"input", "0", "1", "2", "3"}
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert net.training


def test_probe_is_refused_while_a_background_run_trains(net, opened):
    session = opened(net)
    gate = []

    def body():
        train(net, 1)
        gate.append(1)
        session.gate.pause()
        train(net, 1)

    run = session.train_in_background(body)
    with pytest.raises(RunRefusedError, match=r"session.run.join\(\)"):
        session.probe(torch.zeros(1, 1, 4, 4))
    with pytest.raises(RunRefusedError, match="has not ended"):
        session.train_in_background(body)
    run.stop()
    run.join()


def test_closed_session_says_so_and_a_new_watch_opens_another(net, opened):
    session = opened(net)
    session.close()
    session.close()
    with pytest.warns(UserWarning, match=r"recorded nothing.*watch\(model\) opens a new one"):
        session.log(loss=1.0)  # a loop goes on as without us
    assert session.metrics.names() == ()
    with pytest.raises(SessionClosedError, match=r"watch\(model\)"):
        session.train_in_background(lambda: None)
    assert opened(net) is not session


def test_session_refuses_to_be_pickled_in_one_sentence(net, opened):
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(opened(net))


def test_widgets_take_a_model_or_a_session_and_nothing_else(net, opened):
    session = opened(net)
    assert as_session(net, "X") is session
    assert as_session(session, "X") is session
    with pytest.raises(TypeError, match=r"X\(\) needs a torch.nn.Module or a Session"):
        as_session(3, "X")


def test_new_model_of_a_dead_ones_class_inherits_its_curves_as_an_earlier_run(opened):
    class Fresh(nn.Linear):
        pass

    model = Fresh(1, 1)
    first = watch(model)
    first.log(loss=1.0)
    del model
    gc.collect()
    assert first.tap.gone
    second = opened(Fresh(1, 1))
    second.log(loss=2.0)
    assert [run.run for run in second.runs] == [1, 2]
    assert second.metrics.history("loss", run=1).values[0] == 1.0
    first.close()


def test_two_living_models_of_one_class_keep_their_curves_apart(opened):
    class Player(nn.Linear):
        pass

    generator, discriminator = Player(1, 1), Player(1, 1)
    opened(generator).log(loss=1.0)
    session = opened(discriminator)
    assert session.metrics.names() == ()


def test_a_failing_user_handler_is_a_fault_and_training_goes_on(net, opened):
    session, faults = opened(net, every=1), []
    look_at(session, "0")
    session.bus.subscribe(FaultRaised, faults.append)
    session.bus.subscribe(ActivationCaptured, lambda event: 1 / 0)
    train(net, 2)
    session.flush()
    assert session.step == 2
    assert "ZeroDivisionError" in session.faults[0]
    assert faults


def test_selection_checks_each_change():
    layers = ("input", "conv1", "conv2", "relu", "relu#1")
    pick = Selection(layer="conv1")
    assert pick.changed(layers, layer="relu", call=1).layer == "relu#1"
    with pytest.raises(LayerNotFoundError, match=r"No layer 'conv5'\. Nearest: 'conv2', 'conv1'"):
        pick.changed(layers, layer="conv5")
    with pytest.raises(ValueError, match="show must be one of 'activation', 'gradient'"):
        pick.changed(layers, show="weights")
    with pytest.raises(ValueError, match="channel must be a whole number from 0, got -1"):
        pick.changed(layers, channel=-1)


def test_numbers_logged_in_a_script_do_not_pile_up_unread(net, opened):
    session = opened(net)
    for _ in range(3000):
        session.log(loss=1.0)
    assert len(session._scalars._queue) < 1024
    assert len(session.metrics.history("loss").values) == 3000


def test_a_subscriber_hears_each_number_when_it_is_logged(net, opened):
    session, heard = opened(net), []
    session.log(loss=1.0)
    session.bus.subscribe(ScalarLogged, heard.append, inline=True)
    session.log(loss=2.0)
    assert [event.value for event in heard] == [2.0]


def test_a_loss_that_is_changed_in_place_later_keeps_its_logged_value(net, opened):
    session, loss = opened(net), torch.tensor(1.0)
    session.log(loss=loss)
    loss.zero_()
    assert session.metrics.history("loss").values[0] == 1.0


def test_the_line_that_logs_nothing_is_pointed_at(opened, net):
    session = opened(net)
    with pytest.warns(UserWarning, match="recorded nothing") as told:
        session.log()
    assert told[0].filename == __file__


def test_curves_outlive_a_session_that_was_closed(net):
    first = watch(net)
    first.log(1, loss=2.0)
    first.close()
    second = watch(net)
    assert second.metrics is first.metrics
    assert second.metrics.latest("loss").value == 2.0
    assert second.metrics.names(second.metrics.current_run) == ()
    second.close()


def test_numpy_integers_select_a_sample():
    picked = Selection(layer="0").changed(("0",), sample=np.int64(3), channel=np.uint8(2))
    assert (picked.sample, type(picked.sample), picked.channel) == (3, int, 2)
    for wrong, error in ((-1, ValueError), (1.5, ValueError), (True, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="sample must be a whole number from 0"):
            picked.changed(("0",), sample=wrong)


def test_later_watch_changes_how_a_compiled_model_is_looked_into(net, opened):
    compiled = torch.compile(net, backend="eager")
    session = opened(compiled)
    assert "eager eval-mode copy" in session.tap.compiled_how
    opened(compiled, compiled="force_eager")
    assert "sampled steps run eagerly" in session.tap.compiled_how
