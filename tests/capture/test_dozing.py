"""Between samples of fast steps the root hooks come off: nothing may be missed for long."""

import threading

import pytest
import torch
from torch import nn

from nbtorchviz.capture.boundaries import dispatcher
from nbtorchviz.capture.plans import Plan, Want
from tests.capture.desk import ROOT_HOOKS, hook_count


def make():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def step(model, optimizer, micro=1):
    optimizer.zero_grad()
    for _ in range(micro):
        model(torch.ones(2, 4)).sum().backward()
    optimizer.step()


def test_steps_are_heard_while_the_hooks_are_off_and_forwards_again_when_they_are_back(
    tap_on, desk
):
    model, optimizer = make()
    tap = tap_on(model)
    step(model, optimizer)
    assert tap.doze()
    assert hook_count(model) == 0
    for _ in range(5):
        step(model, optimizer)
    assert (tap.step, tap.forward) == (6, 1)
    assert [boundary.step for boundary in desk.boundaries] == [1, 2, 3, 4, 5, 6]
    assert tap.compiled_how is None  # a model whose forwards are not seen is not a compiled one
    tap.wake()
    assert hook_count(model) == ROOT_HOOKS
    desk.plan = Plan((Want("1"),))
    step(model, optimizer)
    assert desk.catch.step == 7
    assert desk.faults == []


def test_an_open_window_keeps_the_hooks_on(tap_on, desk):
    model, optimizer = make()
    tap = tap_on(model, plan=Plan((Want("1"),)))
    loss = model(torch.ones(2, 4)).sum()
    assert not tap.doze()
    loss.backward()
    optimizer.step()
    assert desk.catch.caught[0].key == "1"


def test_accumulation_learnt_before_the_doze_is_remembered(tap_on, desk):
    model, optimizer = make()
    tap = tap_on(model)
    step(model, optimizer, micro=2)
    step(model, optimizer, micro=8)
    tap.doze()
    for _ in range(4):
        step(model, optimizer, micro=8)
    tap.wake()
    desk.boundaries.clear()
    step(model, optimizer, micro=8)
    assert [boundary.kind for boundary in desk.boundaries] == ["step"]


def test_a_loop_that_steps_inside_the_backward_never_dozes(tap_on, desk):
    model, _ = make()
    parameter = model[0].weight
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    handle = parameter.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    tap = tap_on(model)
    for _ in range(3):
        model(torch.ones(2, 4)).sum().backward()
    assert not tap.doze()
    handle.remove()


def test_resting_and_closing_end_a_doze(tap_on):
    model, optimizer = make()
    tap = tap_on(model)
    step(model, optimizer)
    tap.doze()
    tap.rest()
    tap.wake()
    assert hook_count(model) == 0
    tap.look()
    assert hook_count(model) == ROOT_HOOKS
    tap.doze()
    tap.close()
    tap.wake()
    assert hook_count(model) == 0


class Picky(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 2)

    def forward(self, x):
        return self.body(x)


def test_a_forward_that_fails_unseen_is_explained_from_its_traceback(tap_on, desk):
    model = Picky()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tap = tap_on(model)
    step(model, optimizer)
    assert tap.doze()
    try:
        model(torch.ones(2, 5))
    except RuntimeError as error:
        tap.explain(error)
    assert [failure.layer for failure in desk.failures] == ["body"]
    tap.explain(ValueError("not of this model"))
    assert len(desk.failures) == 1
    tap.wake()
    try:
        model(torch.ones(2, 5))
    except RuntimeError as error:
        tap.explain(error)  # the hook has seen it
    assert len(desk.failures) == 2


def test_coasting_counts_the_steps_that_count_and_tells_of_none(tap_on, desk):
    model, optimizer = make()
    other = torch.optim.SGD(model.parameters(), lr=0.1)
    tap = tap_on(model)
    tap.watch_optimizer([optimizer])
    step(model, optimizer)
    tap.doze()
    desk.boundaries.clear()
    tap.coast(3)
    step(model, optimizer)
    step(model, other)  # not the one that counts
    step(model, optimizer)
    assert (tap.step, desk.boundaries) == (3, [])
    step(model, optimizer)
    step(model, optimizer)  # the fourth is heard
    assert tap.step == 5
    assert [boundary.step for boundary in desk.boundaries] == [5]


def test_coasting_ends_when_somebody_asks_or_the_hooks_come_back(tap_on, desk):
    model, optimizer = make()
    tap = tap_on(model)
    step(model, optimizer)
    tap.coast(9)  # awake: every step is heard
    step(model, optimizer)
    assert [boundary.step for boundary in desk.boundaries] == [1, 2]
    for wake in (tap.attend, tap.wake, lambda: tap.watch_optimizer([optimizer])):
        tap.doze()
        tap.coast(9)
        step(model, optimizer)
        desk.boundaries.clear()
        wake()
        step(model, optimizer)
        assert [boundary.step for boundary in desk.boundaries] == [tap.step]
    assert tap.step == 8
    tap.doze()
    tap.coast(9)
    tap.close()
    step(model, optimizer)
    assert tap.step == 8


def test_steps_that_nobody_looks_at_coast_until_somebody_opens_a_widget(tap_on, desk):
    model, optimizer = make()
    tap = tap_on(model)
    tap.rest()  # the last widget was closed
    step(model, optimizer)
    tap.coast(9)
    step(model, optimizer)
    assert (tap.step, [boundary.step for boundary in desk.boundaries]) == (2, [1])
    tap.look()
    step(model, optimizer)
    assert [boundary.step for boundary in desk.boundaries] == [1, 3]
    tap.rest()
    tap._course.looking = True  # begins between the decision to coast and its taking effect
    tap.coast(9)
    step(model, optimizer)
    assert desk.boundaries[-1].step == 4


def coasting(tap, model, optimizer, steps=9):
    """Let ``tap`` rest, make one step, and let it only count the next ones."""
    tap.rest()
    step(model, optimizer)
    tap.coast(steps)


def told(of):
    """Wrap the method that hears of steps in full; the list says of whose."""
    heard, method = [], of._course.optimizer_stepped
    of._course.optimizer_stepped = lambda optimizer: (heard.append(optimizer), method(optimizer))
    return heard


def test_steps_that_just_count_for_one_model_are_not_told_to_another_that_ignores_them(tap_on):
    (one, first), (other, second) = make(), make()
    tap, beside = tap_on(one), tap_on(other)
    beside.watch_optimizer([second])
    coasting(tap, one, first)
    heard, heard_beside = told(tap), told(beside)
    step(one, first)
    step(other, second)
    assert (tap.step, beside.step) == (2, 1)
    assert (heard, heard_beside) == ([second], [second])
    first.add_param_group({"params": list(other.parameters())})
    beside.watch_optimizer([first])  # from now on its steps count there too
    step(one, first)
    assert (tap.step, beside.step) == (3, 2)


def test_steps_of_an_optimizer_that_two_sessions_count_are_told_to_both(tap_on):
    model, optimizer = make()
    whole, part = tap_on(model), tap_on(model[0])
    step(model, optimizer)
    coasting(whole, model, optimizer)
    coasting(part, model, optimizer)
    heard, heard_of_part = told(whole), told(part)
    step(model, optimizer)
    assert (whole.step, part.step) == (4, 4)
    assert heard == heard_of_part == [optimizer]


def test_whoever_joins_while_steps_just_count_hears_the_next_one(tap_on):
    model, optimizer = make()
    tap = tap_on(model)
    coasting(tap, model, optimizer)
    step(model, optimizer)
    late = tap_on(model[0])
    step(model, optimizer)
    assert (tap.step, late.step) == (3, 1)


def test_a_step_that_raises_is_not_counted_and_the_next_one_is(tap_on):
    class Broken(torch.optim.SGD):
        broken = False

        def step(self, closure=None):
            if self.broken:
                raise ValueError("broken")

    model, _ = make()
    optimizer = Broken(model.parameters())
    tap = tap_on(model)
    coasting(tap, model, optimizer)
    optimizer.broken = True
    with pytest.raises(ValueError, match="broken"):
        step(model, optimizer)
    assert tap.step == 1
    optimizer.broken = False
    step(model, optimizer)
    assert (tap.step, tap._course.coasts) == (2, 8)


def test_a_step_that_calls_its_parents_step_is_one_step_while_coasting(tap_on):
    torch.optim.SGD(nn.Linear(1, 1).parameters())  # from now on torch calls hooks for SGD.step

    class Sometimes(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure) if tap.step % 2 else None

    model, _ = make()
    optimizer = Sometimes(model.parameters(), lr=0.1)
    tap = tap_on(model)
    coasting(tap, model, optimizer)
    for _ in range(4):
        step(model, optimizer)
    assert tap.step == 5


def test_an_optimizer_that_is_gone_ends_coasting(tap_on):
    model, optimizer = make()
    tap = tap_on(model)
    coasting(tap, model, optimizer)
    del optimizer
    for _ in range(2):
        step(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert tap.step == 3


def test_a_reader_that_nobody_announced_is_not_asked_and_an_announced_one_until_it_has_read():
    model, optimizer = make()
    asked = []

    class Reader:
        reading = False

        def ignores(self, optimizer):
            return False

        def optimizer_steps(self, optimizer, *, closure):
            asked.append(closure)

        def optimizer_stepped(self, optimizer):
            pass

    reader = Reader()
    dispatcher.join(reader)
    try:
        reader.reading = True
        step(model, optimizer)
        assert asked == []
        dispatcher.announce()
        step(model, optimizer)
        step(model, optimizer)
        assert asked == [False, False]
        reader.reading = False
        step(model, optimizer)
        reader.reading = True  # not announced again
        step(model, optimizer)
        assert asked == [False, False]
    finally:
        dispatcher.leave(reader)


def test_a_listener_that_the_garbage_collector_ends_while_another_joins_stops_nobody(tap_on):
    """A collection may run anywhere: a guard whose model is gone leaves within ``join``."""
    (one, _), (other, optimizer) = make(), make()
    leaving, staying = tap_on(one), tap_on(other)
    alive, met = dispatcher._alive, []

    def collected(without):
        found = alive(without)
        if not met:
            met.append(without)
            dispatcher.leave(leaving._course)
        return found

    dispatcher._alive = collected
    try:
        join = threading.Thread(target=tap_on, args=(other[0],), daemon=True)
        join.start()
        join.join(30.0)
        assert not join.is_alive()
    finally:
        del dispatcher._alive
    assert met
    heard = told(leaving)
    step(other, optimizer)
    assert staying.step == 1
    assert heard == []


@pytest.mark.parametrize("wrapped", [False, True])
def test_of_two_optimizers_that_alternate_unnamed_only_one_is_counted(tap_on, wrapped):
    model, _ = make()
    inner = torch.optim.SGD(model[0].parameters(), lr=0.1)
    other = torch.optim.SGD(model[2].parameters(), lr=0.1)

    class Around(torch.optim.Optimizer):
        def step(self, closure=None):
            inner.step()

    around = Around(model.parameters(), {}) if wrapped else None
    tap = tap_on(model)
    tap.rest()
    for number in range(100):
        model(torch.ones(2, 4)).sum().backward()
        if wrapped:
            around.step()
        else:
            inner.step()
            other.step()
        if number % 25 == 5:
            tap.coast(15)
    assert tap.step == 100


def test_an_optimizer_that_lost_its_role_is_not_counted_nor_another_in_its_place(tap_on):
    model, first = make()
    second = torch.optim.SGD(model.parameters(), lr=0.1)
    tap = tap_on(model)
    coasting(tap, model, first, 1_000)
    for _ in range(3):
        step(model, second)
    tap.coast(1_000)
    before = tap.step
    for _ in range(5):
        step(model, first)
        step(model, second)
    assert tap.step == before + 5
    assert id(first) not in dispatcher._tallies


def test_a_parents_step_that_torch_hooks_later_is_not_counted_too(tap_on):
    class Parent(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self, closure=None):
            pass

    class Child(Parent):
        def step(self, closure=None):
            return super().step(closure)

    model, _ = make()
    optimizer = Child(model.parameters())
    tap = tap_on(model)
    coasting(tap, model, optimizer)
    Parent(nn.Linear(1, 1).parameters())  # from now on torch calls hooks for Parent.step
    for _ in range(4):
        step(model, optimizer)
    assert tap.step == 5


def test_a_session_whose_named_optimizer_is_gone_hears_of_the_other_at_once(tap_on):
    model, optimizer = make()
    named = torch.optim.SGD(model[0].parameters(), lr=0.1)
    whole, part = tap_on(model), tap_on(model[0])
    whole.watch_optimizer([optimizer])
    part.watch_optimizer([named])
    part.rest()
    coasting(whole, model, optimizer)
    del named
    step(model, optimizer)
    assert (whole.step, part.step) == (2, 1)


def test_who_attends_while_another_session_begins_to_coast_is_heard(tap_on):
    (one, first), (other, second) = make(), make()
    tap, beside = tap_on(one), tap_on(other)
    coasting(tap, one, first, 100)
    dispatcher_tallies = dispatcher._tallies
    tap.attend()
    dispatcher._tallies = dispatcher_tallies  # as if put back by the other thread just now
    heard = told(tap)
    step(one, first)
    assert heard == [first]
    step(other, second)
    assert (tap.step, beside.step) == (2, 1)
