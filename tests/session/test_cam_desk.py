"""When maps are computed: at boundaries within the budget, at once where nothing trains."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.cam_frame import CamFrame
from nbtorchviz.session.boundary_jobs import BoundaryJobs
from nbtorchviz.session.cam_batches import GATHERED
from nbtorchviz.session.cam_compute import CamRequest, compute
from nbtorchviz.session.cam_desk import (
    FEWEST,
    PATIENCE_S,
    PERIOD_S,
    RETRY_S,
    SHARE,
    UNSEEN_S,
    CamDesk,
)
from nbtorchviz.session.cam_images import cam_images
from nbtorchviz.session.cam_tape import CamTape
from tests.analysis.test_cam_frame import frame
from tests.capture.test_identical import assert_same, state_of
from tests.models import ZOO, train


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def made():
    sessions = []

    def make(images="given", *, every=None, clock=None, seen=lambda: True, shy=False):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(4, 6),
        )  # fmt: skip
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        session = nbv.watch(model, optimizer, every=every)
        sessions.append(session)
        given = cam_images(torch.rand(2, 1, 8, 8)) if images == "given" else images
        told = []
        desk = CamDesk(
            session, CamRequest(), given, owner=1, seen=seen, shy=shy, told=lambda: told.append(1),
            first=lambda _: [0], **({} if clock is None else {"clock": clock}),
        )  # fmt: skip
        desk.told, desk.model, desk.optimizer = told, model, optimizer
        session.recorder.jobs.add(1, desk)
        session.tap.look()
        return desk

    yield make
    for session in sessions:
        assert session.faults == []
        session.close()


def step(desk, count=1):
    for _ in range(count):
        desk.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(
            desk.model(torch.rand(4, 1, 8, 8)), torch.tensor([0, 1, 2, 0])
        )
        loss.backward()
        desk.optimizer.step()


def test_nothing_trains_so_maps_are_computed_at_once(made):
    desk = made()
    assert desk.wanted
    assert desk.run_when_idle()
    assert (desk.shot.frame.step, len(desk.told), desk.wanted) == (0, 1, False)
    desk.run_when_idle()  # nobody asked again
    assert len(desk.told) == 1


def test_every_step_that_every_names_has_maps_of_its_own_weights(made):
    desk = made(every=2)
    desk.run_when_idle()
    seen = {}
    for _ in range(6):
        step(desk)
        wanted = nbv.gradcam(desk.model, desk.images.inputs.args[0], layer="2").maps
        seen[desk.session.step] = wanted
    assert desk.tape.steps == [0, 2, 4, 6]
    for at in (2, 4, 6):
        kept = desk.tape.at(at)
        found = kept.raw(0, "2", kept.explained[0])
        assert abs(found - seen[at][0]).max() <= 3e-5 * abs(seen[at][0]).max()


def test_the_clock_and_the_budget_decide_and_a_user_does_not_wait(made, clock):
    desk = made(clock=clock)
    desk.run_when_idle()
    assert not desk.due()
    clock.now_s = 1.01 * PERIOD_S
    assert desk.due()
    desk._pace.share = 0.01
    desk._pace.begin()
    desk._pace.spent(0.2)  # of 1 %: 20 s
    clock.now_s += 19
    assert not desk.due()
    desk.ask(method="hirescam")
    assert desk.due()
    desk.run()
    assert desk.shot.frame.method == "hirescam"
    clock.now_s += 30
    assert desk.due()


def costing(monkeypatch, clock, seconds):
    """Let each computation take what ``seconds(ranks)`` says."""

    def dear(*given, ranks, **more):
        clock.now_s += seconds(ranks)
        return compute(*given, ranks=ranks, **more)

    monkeypatch.setattr("nbtorchviz.session.cam_desk.compute", dear)


def shots_at(desk, clock, until_s):
    """Come to a boundary every 10 ms; return when maps were computed."""
    found = []
    while clock.now_s < until_s:
        clock.now_s += 0.01
        if desk.due():
            found.append(clock.now_s)
            desk.run()
    return found


def test_maps_of_a_small_network_come_every_second_at_the_default_budget(made, clock, monkeypatch):
    costing(monkeypatch, clock, lambda ranks: 0.001 * (1 + ranks))
    shots = shots_at(made(clock=clock), clock, 20.0)
    assert max(np.diff(shots)) < 1.2 * PERIOD_S


def test_dear_first_maps_put_the_next_off_for_a_moment_only(made, clock, monkeypatch):
    costs = iter([0.5])
    costing(monkeypatch, clock, lambda ranks: next(costs, 0.005))
    shots = shots_at(made(clock=clock), clock, 20.0)
    assert shots[1] - shots[0] < 1.2 * (PATIENCE_S + PERIOD_S)
    assert len(shots) > 15


def test_maps_of_a_dear_network_take_no_more_than_their_part_of_the_budget(
    made, clock, monkeypatch
):
    costing(monkeypatch, clock, lambda ranks: 0.03 * (1 + ranks))
    shots = shots_at(made(clock=clock), clock, 200.0)
    desk_share = SHARE * 0.02
    assert 0.5 * desk_share < 0.03 * (1 + FEWEST) * len(shots) / 200.0 < 1.1 * desk_share


def test_nobody_looks_so_the_tape_alone_is_fed(made, clock):
    desk = made(clock=clock, seen=lambda: False)
    desk.run_when_idle()
    clock.now_s += UNSEEN_S - 0.1
    assert not desk.due()
    clock.now_s += 0.2
    assert desk.due()


def test_dear_models_get_fewer_classes_and_asked_ones_stay(made, clock):
    desk = made(clock=clock)
    desk.run_when_idle()
    desk._slot_s = 10.0
    assert desk._affordable() == FEWEST
    desk.ask(target=5)
    desk.run()
    assert desk.shot.frame.classes.shape[1] <= FEWEST + 1
    assert (desk.shot.frame.classes == 5).any(axis=1).all()
    desk._slot_s = 1e-6
    assert desk._affordable() == 6  # all classes there are


def test_items_of_training_batches_are_pinned_where_no_images_were_given(made):
    desk = made(images=None, every=1)
    assert not desk.wanted
    step(desk, 2 * GATHERED)
    assert len(desk.images) == GATHERED
    assert desk.images.names[1].startswith("image 1, of step ")
    first = desk.images.inputs.args[0]
    assert len({tuple(image.flatten().tolist()) for image in first}) == GATHERED
    kept = first.clone()
    step(desk, 3)
    assert torch.equal(desk.images.inputs.args[0], kept)  # pinned
    assert desk.shot.frame.step == desk.session.step


def test_a_tab_that_nobody_opened_costs_nothing(made):
    looked = []
    desk = made(images=None, every=1, seen=lambda: bool(looked), shy=True)
    step(desk, 3)
    assert (desk.images, desk.shot, len(desk.session.recorder.looks)) == (None, None, 0)
    looked.append(1)
    step(desk, 2 * GATHERED)
    assert len(desk.images) == GATHERED
    looked.clear()
    step(desk)
    assert desk.shot.frame.step == desk.session.step  # the tape goes on
    assert len(desk.session.recorder.looks) == 0  # all images are there


def test_a_tab_that_is_opened_after_training_explains_its_last_batch(made):
    looked = []
    desk = made(images=None, every=1, seen=lambda: bool(looked), shy=True)
    assert not desk.blank
    step(desk, 3)
    looked.append(1)
    assert desk.blank
    assert desk.run_when_idle()
    assert desk.images.names == ("image 0",)  # nobody looked at its step
    assert desk.shot.frame.step == 3
    assert not desk.blank
    step(desk, 2 * GATHERED)
    assert len(desk.images) == GATHERED


def test_what_the_model_refuses_is_told_and_tried_again_later(made, clock):
    desk = made(images=cam_images(torch.rand(2, 3, 8, 8)), clock=clock)
    desk.run_when_idle()
    assert isinstance(desk.error, RuntimeError)
    assert desk.shot is None
    clock.now_s += RETRY_S - 1
    assert not desk.due()
    desk.show(cam_images(torch.rand(2, 1, 8, 8)))
    assert desk.due()
    desk.run()
    assert desk.error is None
    assert desk.shot is not None


def test_a_background_run_computes_at_its_own_boundaries_only(made):
    desk = made()
    threads = []
    compute = desk._compute
    desk._compute = lambda ranks: (threads.append(threading.current_thread()), compute(ranks))[1]
    begun, go = threading.Event(), threading.Event()

    def fit():
        begun.set()
        go.wait(10)
        step(desk, 3)

    run = desk.session.train_in_background(fit)
    begun.wait(10)
    assert not desk.run_when_idle()  # refused: it would overlap a step
    go.set()
    run.join()
    assert desk.shot.frame.step > 0
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("name", ["inplace_cnn", "residual", "frozen_norm"])
def test_training_is_the_same_bit_for_bit_with_a_viewer_at_every_step(name):
    case, states = ZOO[name], []
    for watched in (False, True):
        torch.manual_seed(11)
        model = case.build()
        viewer = None
        if watched:
            session = nbv.watch(model, every=1)
            images, _ = case.batch(torch.Generator().manual_seed(3))
            stream = torch.get_rng_state()
            viewer = nbv.GradCAMViewer(session, images, method="layercam", contrast="second")
            assert torch.equal(stream, torch.get_rng_state())
        optimizer = train(model, case, steps=6)
        states.append(state_of(model, optimizer))
        if viewer is not None:
            shown = viewer.tape
            assert session.faults == []
            session.close()
    assert shown == list(range(7))
    assert_same(*states)


def test_a_job_that_fails_leaves_the_others_and_the_training_alone():
    failed, done, clock = [], [], Clock()

    class Job:
        def __init__(self, run, due=True):
            self.run, self._due = run, due

        def due(self):
            return self._due

    spent = []
    jobs = BoundaryJobs(spent.append, lambda where, error: failed.append(error), clock=clock)

    def slow():
        clock.now_s += 2
        done.append("slow")

    jobs.add(1, Job(lambda: 1 / 0))
    jobs.add(2, Job(slow))
    jobs.add(3, Job(lambda: done.append("never"), due=False))
    assert jobs.run() == 2
    assert (done, sum(spent), len(failed)) == (["slow"], 2, 1)
    jobs.drop(2)
    assert jobs.run() == 0


def test_the_tape_is_bounded_and_covers_the_run():
    def at(step) -> CamFrame:
        made = frame({"a": torch.rand(1, 2, 14, 14).numpy()})
        return type(made)(**{n: getattr(made, n) for n in made.__slots__ if n != "step"}, step=step)

    tape = CamTape(most_bytes=20_000)
    for number in range(200):
        tape.add(at(number), [0])
        assert tape.size_bytes <= 20_000
    steps = tape.steps
    assert (steps[0], steps[-1]) == (0, 199)
    assert len(steps) >= 6
    assert tape.at(198).step < 199
    assert tape.at(-5).step == 0
    tape.add(at(3), [0])  # another training began
    assert tape.steps == [3]
