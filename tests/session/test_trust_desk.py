"""Checks of a map run in pieces: between steps while something trains, never beside a step."""

import threading

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.attribution import trust
from nbtorchviz.attribution.trust import agreement, faithfulness, weight_dependence
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.errors import RunRefusedError
from nbtorchviz.session.trust_answers import CHECKS, TrustQuestion, one_row, picture_of
from nbtorchviz.session.trust_desk import TrustDesk
from nbtorchviz.session.turns import SHARE, SLICE_S
from tests.capture.test_identical import assert_same, state_of


class Clock:
    """Every look at it takes two hundredths of a second."""

    now_s = 0.0

    def __call__(self):
        self.now_s += 0.02
        return self.now_s


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


class Training:
    """A model, its session, a desk, and a batch to train on."""

    def __init__(self, clock=None):
        self.model = network()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.session = nbv.watch(self.model, self.optimizer, every=1)  # every boundary is heard
        self.told = []
        how = {} if clock is None else {"clock": clock}
        self.desk = TrustDesk(
            self.session, told=lambda: self.told.append(threading.get_ident()), **how
        )
        self.session.recorder.jobs.add("desk", self.desk)
        self.session.tap.look()
        source = torch.Generator().manual_seed(1)
        self.batch = torch.rand(6, 1, 10, 10, generator=source)

    def ask(self, check="faithfulness"):
        picture = self.batch[2:3]
        return TrustQuestion(
            check=check, inputs=Inputs((picture,)), image="image 2", row=2, layer="2", target=1,
            target_name="one", method="gradcam",
        )  # fmt: skip

    def step(self, count=1):
        for _ in range(count):
            self.optimizer.zero_grad()
            labels = torch.arange(6) % 3
            nn.functional.cross_entropy(self.model(self.batch), labels).backward()
            self.optimizer.step()


@pytest.fixture
def made():
    trainings = []

    def make(**how):
        trainings.append(Training(**how))
        return trainings[-1]

    yield make
    for training in trainings:
        assert training.session.faults == []
        training.session.close()


def test_a_check_now_is_that_of_the_functions(made):
    training = made()
    training.step(3)
    model, picture = training.model, training.batch[2:3]
    result = nbv.gradcam(model, picture, target=1, layer="2")
    before = state_of(model, training.optimizer)
    wanted = {
        "faithfulness": faithfulness(model, picture, result),
        "weights": weight_dependence(model, picture, result),
        "methods": agreement(model, picture, result),
    }
    for check in CHECKS:
        answer = training.desk.now(training.ask(check))
        assert answer.result == wanted[check]
        assert answer.text.startswith("Grad-CAM of 2 for one, image 2, step 3: ")
        assert wanted[check].text in answer.text
        assert training.desk.answers[check] is answer
    assert_same(state_of(model, training.optimizer), before)


def test_at_boundaries_a_check_ends_with_the_weights_it_began_with_and_leaves_no_trace(
    made, monkeypatch
):
    monkeypatch.setattr(trust, "PIECE_VALUES", 500)  # small pieces
    training = made(clock=Clock())
    training.step(2)
    training.desk._pace.share = 1.0
    training.desk.ask(training.ask())
    training.step()  # the copy is made at the end of this one
    result = nbv.gradcam(training.model, training.batch[2:3], target=1, layer="2")
    wanted = faithfulness(training.model, training.batch[2:3], result)
    while training.desk.asked is not None:
        training.step()
    answer = training.desk.answers["faithfulness"]
    assert answer.step == 3
    assert answer.result == wanted
    assert training.session.step > 5  # it took several boundaries
    assert set(training.told) == {threading.get_ident()}


def test_a_training_with_checks_is_bitwise_that_without(made):
    def trained(checked):
        training = made(clock=Clock())
        torch.manual_seed(5)
        for number in range(240):
            if checked and number % 80 == 1:
                training.desk._pace.share = 1.0
                training.desk.ask(training.ask(CHECKS[number // 80]))
            training.step()
        if checked:
            assert list(training.desk.answers) == list(CHECKS)
        return state_of(training.model, training.optimizer), torch.get_rng_state()

    (state, stream), (bare, bare_stream) = trained(True), trained(False)
    assert_same(state, bare)
    assert torch.equal(stream, bare_stream)


def test_a_check_takes_no_more_than_its_share_of_the_time(made):
    training = made(clock=(clock := Clock()))
    training.desk.ask(training.ask())
    assert training.desk.due()
    began = clock.now_s
    training.desk.run()
    took = clock.now_s - began
    assert SLICE_S <= took <= 3 * SLICE_S
    assert not training.desk.due()
    clock.now_s += 0.4 * took / SHARE
    assert not training.desk.due()
    clock.now_s += 0.7 * took / SHARE
    assert training.desk.due()


def test_what_is_under_way_says_how_far_it_is_and_can_be_cancelled(made, monkeypatch):
    monkeypatch.setattr(trust, "PIECE_VALUES", 500)
    training = made()
    assert training.desk.state() == {"running": None, "answers": {}}
    training.desk.ask(training.ask())
    shares = []
    for _ in range(20):
        assert training.desk.run_when_idle()
        shares.append(training.desk.state()["running"]["share"])
    assert shares[:2] == [0, 0]  # the copy, then the map
    assert 0 < shares[2] < shares[-1] < 1
    running = training.desk.state()["running"]
    assert running["about"] == "Grad-CAM of 2 for one, image 2"
    assert running["left_s"] >= 0
    training.desk.cancel()
    assert not training.desk.run_when_idle()
    assert training.desk.state() == {"running": None, "answers": {}}


def test_an_answer_stays_until_the_same_check_is_made_again(made):
    training = made()
    training.desk.ask(training.ask("methods"))
    while training.desk.run_when_idle():
        pass
    first = training.desk.state()["answers"]["methods"]
    assert first["verdict"]
    assert (first["step"], first["row"], first["layer"], first["target"]) == (0, 2, "2", 1)
    training.step()
    training.desk.ask(training.ask("weights"))
    while training.desk.run_when_idle():
        pass
    assert training.desk.state()["answers"]["methods"] == first
    assert training.desk.state()["answers"]["weights"]["step"] == 1


def test_what_goes_wrong_is_an_answer_in_words(made):
    training = made()
    with torch.no_grad():
        training.model[-1].weight.zero_()
    training.desk.ask(training.ask())
    while training.desk.run_when_idle():
        pass
    answer = training.desk.state()["answers"]["faithfulness"]
    assert answer["failed"]
    assert "the same everywhere" in answer["said"]
    training.model.stuck = threading.Lock()  # no copy can be made of this
    training.desk.ask(training.ask("weights"))
    while training.desk.run_when_idle():
        pass
    assert "cannot be copied" in training.desk.state()["answers"]["weights"]["said"]
    del training.model.stuck


def test_hooks_of_the_user_stay_silent_and_it_says_so(made):
    training = made()
    heard = []
    hook = training.model.register_forward_hook(lambda *_: heard.append(1))
    answer = training.desk.now(training.ask("methods"))
    hook.remove()
    assert heard == []
    assert "1 hook of yours was left off the copy" in answer.text


def test_during_a_background_run_only_boundaries_may_run_the_model(made):
    training = made()

    def train():
        while not training.desk.answers:
            training.step()

    run = training.session.train_in_background(train)
    training.desk.ask(training.ask("methods"))
    assert not training.desk.run_when_idle()
    with pytest.raises(RunRefusedError, match="between two steps"):
        training.desk.now(training.ask())
    run.join()
    assert "methods" in training.desk.answers
    assert threading.get_ident() not in training.told


def test_one_row_is_cut_out_of_everything_that_has_rows():
    batch, mask, scale = torch.rand(4, 1, 5, 5), torch.rand(4, 7), torch.tensor(2.0)
    row = one_row(Inputs((batch, scale), {"mask": mask}), 2, 4)
    assert torch.equal(row.args[0], batch[2:3])
    assert row.args[1] is scale
    assert torch.equal(row.kwargs["mask"], mask[2:3])
    assert picture_of(row) is None
    assert picture_of(Inputs((batch,))) is batch
    assert picture_of(Inputs((mask,))) is None
