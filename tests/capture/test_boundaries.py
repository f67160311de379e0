import gc
import os
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import optimizer as optim_module

from nbtorchviz.capture.tap import Plan, Want
from nbtorchviz.errors import StopTraining
from tests.capture.desk import ROOT_HOOKS, hook_count, of


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))


def forward_backward(model):
    model(torch.ones(3, 2)).sum().backward()


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.01)


def test_two_taps_share_one_process_wide_hook_that_goes_with_the_last(tap_on):
    before = len(optim_module._global_optimizer_post_hooks)
    taps = [tap_on(nn.Linear(2, 2)), tap_on(nn.Linear(2, 2))]
    assert len(optim_module._global_optimizer_post_hooks) == before + 1
    for tap in taps:
        tap.close()
    assert len(optim_module._global_optimizer_post_hooks) == before


def test_a_forgotten_tap_leaves_nothing_behind(desk, tap_on):
    from nbtorchviz.analysis.layouts import infer_layout
    from nbtorchviz.analysis.many_statistics import summarise_many
    from nbtorchviz.analysis.statistics import summarise
    from nbtorchviz.capture.tap import ModelTap

    model = nn.Linear(2, 2)
    tap = ModelTap(
        model,
        desk,
        desk,
        infer_layout=infer_layout,
        summarise=summarise,
        summarise_many=summarise_many,
    )
    tap.look()
    assert hook_count(model) == ROOT_HOOKS
    ref = weakref.ref(tap)
    del tap
    gc.collect()
    assert ref() is None
    assert hook_count(model) == 0


def test_the_model_is_held_weakly(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2))
    tap = tap_on(model, plan=Plan((Want("0", gradient=True),), survey=True))
    optimizer = sgd(model)
    forward_backward(model)
    optimizer.step()
    ref = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert ref() is None
    assert tap.gone
    assert tap.model is None
    tap.rest()
    tap.look()


def test_look_and_rest_are_idempotent_and_leave_no_hook(tap_on, model):
    tap = tap_on(model)
    tap.look()
    assert hook_count(model) == ROOT_HOOKS
    tap.rest()
    tap.rest()
    assert hook_count(model) == 0
    tap.look()
    tap.close()
    tap.close()
    assert hook_count(model) == 0


def test_steps_are_counted_with_nobody_looking(tap_on, model, desk):
    tap = tap_on(model)
    tap.rest()
    optimizer = sgd(model)
    for _ in range(3):
        forward_backward(model)
        optimizer.step()
    assert (tap.step, tap.forward) == (3, 0)
    assert [boundary.kind for boundary in desk.boundaries] == ["step"] * 3


def test_steps_of_other_models_do_not_count(tap_on, model):
    tap, other = tap_on(model), nn.Linear(2, 2)
    optimizer = sgd(other)
    other(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert tap.step == 0


def test_only_the_first_given_optimizer_counts_and_others_close_no_window(tap_on, model, desk):
    head, body = torch.optim.SGD(model[2].parameters(), 0.1), torch.optim.SGD(
        model[0].parameters(), 0.1
    )  # fmt: skip
    tap = tap_on(model, plan=Plan((Want("0"),)), optimizers=[body, head])
    forward_backward(model)
    head.step()
    assert (tap.step, desk.boundaries) == (0, [])
    body.step()
    assert tap.step == 1
    assert of(desk.catch, "0").shape == (3, 2)


def test_a_new_optimizer_takes_over_when_the_cell_is_run_again(tap_on, model):
    tap = tap_on(model)
    first = sgd(model)
    forward_backward(model)
    first.step()
    second = sgd(model)
    for _ in range(5):
        forward_backward(model)
        second.step()
    assert tap.step == 1 + 5 - 2  # two steps passed before the first was given up
    del first


def test_without_an_optimizer_the_forward_becomes_the_boundary_after_three(tap_on, model, desk):
    tap = tap_on(model, plan=Plan((Want("0"),)))
    for _ in range(5):
        forward_backward(model)
    assert tap.step == 0
    assert [(b.kind, b.forward) for b in desk.boundaries] == [("forward", 4), ("forward", 5)]
    assert of(desk.catch, "0").shape == (3, 2)


def test_a_hand_written_update_still_gets_gradients(tap_on, model, desk):
    tap_on(model, plan=Plan((Want("0", gradient=True),)))
    for _ in range(7):
        forward_backward(model)
    assert [c.caught[0].backwards for c in desk.catches if c.caught] == [1] * len(desk.catches)
    assert len(desk.catches) >= 2


def test_inference_loops_have_boundaries_too(tap_on, model, desk):
    desk.phase = "eval"
    tap_on(model, plan=Plan((Want("0"),)))
    model.eval()
    with torch.no_grad():
        for _ in range(5):
            model(torch.ones(3, 2))
    assert [catch.forward for catch in desk.catches] == [1, 2, 3, 4, 5]
    assert {catch.phase for catch in desk.catches} == {"eval"}


def test_only_a_matching_phase_opens_a_window(tap_on, model, desk):
    tap_on(model, plan=Plan((Want("0"),)))
    with torch.no_grad():
        model(torch.ones(5, 2))
    assert desk.began == [("eval", False)]
    optimizer = sgd(model)
    forward_backward(model)
    optimizer.step()
    assert of(desk.catch, "0").shape == (3, 2)


def test_accumulation_longer_than_three_is_learnt(tap_on, model, desk):
    tap_on(model)
    optimizer = sgd(model)
    for _ in range(3):
        for _ in range(6):
            forward_backward(model)
        optimizer.step()
    kinds = [boundary.kind for boundary in desk.boundaries]
    assert kinds == ["forward"] * 3 + ["step"] * 3


def test_a_step_inside_the_backward_counts_at_the_next_forward(tap_on, model, desk):
    tap = tap_on(model, plan=Plan((Want("0", gradient=True),)))
    optimizers = {p: torch.optim.SGD([p], 0.01) for p in model.parameters()}

    def step_now(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step_now)
    for _ in range(3):
        forward_backward(model)
    assert tap.step == 3
    assert [(b.kind, b.step) for b in desk.boundaries] == [("step", 1), ("step", 2)]
    assert of(desk.catch, "0").gradient is not None


def test_steps_skipped_by_a_gradscaler_are_no_boundaries(tap_on, model, desk):
    tap = tap_on(model)
    scaler, optimizer = torch.amp.GradScaler("cpu", init_scale=4.0), sgd(model)
    desk.plan = Plan((Want("2", gradient=True),))
    for factor in (float("inf"), 1.0):
        loss = model(torch.ones(3, 2)).sum() * factor
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert (tap.step, tap.forward) == (1, 2)
    assert len(desk.boundaries) == 1


def test_scaled_gradients_are_divided_when_the_scaler_is_known(tap_on, model, desk):
    tap_on(model, plan=Plan((Want("2", gradient=True),)))
    scaler, optimizer = torch.amp.GradScaler("cpu", init_scale=1024.0), sgd(model)
    scaler.scale(model(torch.ones(3, 2)).sum()).backward()
    scaler.step(optimizer)
    gradient = of(desk.catch, "2").gradient
    assert gradient.values.tolist() == [1.0]
    assert gradient.statistics.maximum == 1.0
    assert "divided by the GradScaler's 1024" in gradient.notes


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscaled", [False, True])
def test_parameter_gradients_are_those_without_the_scale(tap_on, model, desk, fused, unscaled):
    tap_on(model, plan=Plan(parameters=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    for _ in range(2):
        optimizer.zero_grad()
        forward_backward(model)
        wanted = [parameter.grad.norm().item() for parameter in model.parameters()]
        optimizer.zero_grad()
        scaler.scale(model(torch.ones(3, 2)).sum()).backward()
        if unscaled:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        read = desk.parameters[-1][1]
        assert read.gradient_norms.tolist() == pytest.approx(wanted)
        assert read.raw_gradient_norms.tolist() == pytest.approx(wanted)


def test_scaled_gradients_are_marked_when_it_is_not_known(tap_on, model, desk):
    tap_on(model, plan=Plan((Want("2", gradient=True),)))
    optimizer = sgd(model)
    with torch.autocast("cpu", dtype=torch.float16):
        loss = model(torch.ones(3, 2)).sum()
    loss.backward()
    optimizer.step()
    assert "float16 autocast: scaled by a GradScaler?" in of(desk.catch, "2").gradient.notes


def test_stop_at_a_boundary_reaches_the_users_loop(tap_on, model, desk):
    tap_on(model)

    def stop(boundary):
        raise StopTraining

    desk.on_boundary = stop
    forward_backward(model)
    with pytest.raises(StopTraining):
        sgd(model).step()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_taps_are_inert_in_a_forked_child(tap_on, model, desk):
    tap = tap_on(model, plan=Plan((Want("0"),)))
    optimizer = sgd(model)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:  # no backward: autograd refuses it in a child of a process that has run one
            model(torch.ones(3, 2))
            optimizer.step()
            os.write(write, f"{tap.forward} {tap.step} {len(desk.boundaries)}".encode())
        finally:
            os._exit(0)  # whatever happened, the child must not go on with the test suite
    os.close(write)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"0 0 0"
    os.close(read)
    forward_backward(model)
    optimizer.step()
    assert tap.step == 1


def test_swapping_looks_while_another_thread_trains_breaks_nothing(tap_on, model, desk):
    import threading

    tap, optimizer, errors = tap_on(model, plan=Plan((Want("0"),))), sgd(model), []

    def loop():
        try:
            for _ in range(400):
                forward_backward(model)
                optimizer.step()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    while thread.is_alive():
        tap.rest()
        tap.look()
    thread.join()
    tap.rest()
    assert errors == []
    assert desk.faults == []
    assert hook_count(model) == 0
    assert tap.step == 400


def test_a_new_optimizer_takes_over_with_nobody_looking(tap_on, model):
    tap = tap_on(model)
    tap.rest()
    first, second = sgd(model), sgd(model)
    forward_backward(model)
    first.step()
    for _ in range(3):
        second.step()
    assert tap.step == 2


def test_a_long_stretch_without_steps_is_not_taken_for_accumulation(tap_on, model, desk):
    tap_on(model)
    for _ in range(300):
        model(torch.ones(1, 2))
    optimizer = sgd(model)
    forward_backward(model)
    optimizer.step()
    desk.boundaries.clear()
    for _ in range(4):
        model(torch.ones(1, 2))
    assert [boundary.kind for boundary in desk.boundaries] == ["forward"]


def two(model):
    """Optimizers of one half of the model each."""
    return torch.optim.SGD(model[0].parameters(), 0.1), torch.optim.SGD(model[2].parameters(), 0.1)


@pytest.mark.parametrize("named", [0, 1, 2])
def test_optimizers_that_step_side_by_side_are_all_known(tap_on, model, desk, named):
    both = two(model)
    tap = tap_on(model, plan=Plan(parameters=True), optimizers=both[:named])
    for _ in range(4):
        forward_backward(model)
        for optimizer in both:
            optimizer.step()
    forward_backward(model)
    assert tap.step == 4
    assert set(tap.optimizers) == set(both)
    read = desk.parameters[-1][1]
    assert read.states == ("",) * 4
    assert np.isfinite(read.gradient_norms).all()


def test_a_named_optimizer_that_was_left_is_succeeded_and_comes_back(tap_on, model):
    body, head = two(model)
    tap = tap_on(model, optimizers=[body])
    for optimizer, counted in ((body, 2), (head, 2 + 15 - 9), (body, 2 + 6 + 15)):
        for _ in range(2 if tap.step == 0 else 15):
            forward_backward(model)
            optimizer.step()
        assert tap.step == counted


def test_a_critic_that_steps_more_often_than_what_was_named_does_not_count(tap_on, model):
    generator, critic = two(model)
    tap = tap_on(model, optimizers=[generator])
    for _ in range(3):
        for optimizer in (*[critic] * 5, generator):
            forward_backward(model)
            optimizer.step()
    assert tap.step == 3


def test_the_successor_of_a_named_optimizer_that_is_gone_is_known(tap_on, model):
    first = sgd(model)
    tap = tap_on(model, optimizers=[first])
    forward_backward(model)
    first.step()
    del first
    gc.collect()
    second = sgd(model)
    forward_backward(model)
    second.step()
    assert tap.optimizers == [second]


def test_an_optimizer_that_steps_no_more_is_known_no_more(tap_on, model):
    body, head = two(model)
    tap = tap_on(model)
    for count in (1, 60):
        for _ in range(count):
            forward_backward(model)
            body.step()
            if count == 1:
                head.step()
        assert (head in tap.optimizers) is (count == 1)


def test_steps_of_a_named_optimizer_count_once_it_owns_a_parameter(tap_on, model):
    other = nn.Linear(2, 2)
    named = sgd(other)
    tap = tap_on(model, optimizers=[named])
    assert tap.strangers
    for step in (0, 0, 1, 2):
        if step == 1:
            named.add_param_group({"params": list(model.parameters())})
        other(torch.ones(1, 2)).sum().backward()
        forward_backward(model)
        named.step()
        assert tap.step == step
    assert not tap.strangers


def test_the_models_own_optimizer_counts_at_once_where_a_strange_one_was_named(tap_on, model):
    named, own = sgd(nn.Linear(2, 2)), sgd(model)
    tap = tap_on(model, optimizers=[named])
    for step in (1, 2):
        named.step()
        forward_backward(model)
        own.step()
        assert tap.step == step
