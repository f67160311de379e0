"""While training is paused the held thread does what a user waits for, and nothing else."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.events import ActivationCaptured
from tests.capture.test_identical import assert_same, state_of
from tests.widgets.test_gradcam_viewer import network
from tests.widgets.view import View

IMAGES = torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(0))
LONG_S = 30.0


class Paused:
    """A background run that is held after some steps, and a viewer."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = network()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.session = nbv.watch(self.model, self.optimizer, every=1)
        self.viewer = nbv.GradCAMViewer(self.session, IMAGES)
        self.desk, self.view = self.viewer._desk, View(self.viewer)
        self.threads, self.news, held = [], threading.Condition(), threading.Event()
        told = self.desk._told

        def tell():
            told()
            with self.news:
                self.threads.append(threading.get_ident())
                self.news.notify_all()

        self.desk._told = self.desk.turns._told = self.viewer._trust.desk._told = tell
        self.session.gate.listen(lambda state: held.set() if state == "paused" else None)
        self.run = self.session.train_in_background(self.train)
        self.run.pause()
        assert held.wait(LONG_S)
        with self.news:
            self.threads.clear()

    def train(self):
        self.thread = threading.get_ident()
        while True:
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(IMAGES), torch.tensor([1, 2])).backward()
            self.optimizer.step()

    def until(self, done):
        with self.news:
            assert self.news.wait_for(done, LONG_S)


@pytest.fixture
def paused():
    made = Paused()
    yield made
    made.run.stop()
    made.run.join()
    assert made.session.faults == []
    made.session.close()


def test_a_painted_image_is_explained_on_the_held_thread_by_the_weights_as_they_are(paused):
    step, before = paused.session.step, state_of(paused.model, paused.optimizer)
    number = paused.desk.edit({0: torch.zeros(1, 14, 14)})
    paused.until(lambda: paused.desk.shot.edit == number)
    assert paused.desk.shot.frame.step == step == paused.session.step
    wanted = nbv.gradcam(paused.model, torch.zeros(1, 1, 14, 14), layer=paused.viewer.layer)
    key = paused.viewer.layer
    np.testing.assert_allclose(paused.desk.shot.passes[0][key].maps[:1], wanted.maps, atol=1e-6)
    assert set(paused.threads) == {paused.thread}
    assert_same(state_of(paused.model, paused.optimizer), before)


def test_a_check_is_made_to_its_end_and_nobody_else_is_served(paused):
    step, shot = paused.session.step, paused.desk.shot
    paused.view.action("trust:methods:0")
    paused.until(lambda: "methods" in paused.viewer._trust.desk.answers)
    assert paused.viewer._trust.desk.answers["methods"].step == step
    assert paused.session.gate.state == "paused"
    assert paused.desk.shot is shot  # by the clock or every=1 nothing is computed again


def test_a_pinned_input_is_shown_at_the_kept_step(paused):
    browser = nbv.ActivationBrowser(paused.session)
    step, before = paused.session.step, state_of(paused.model, paused.optimizer)
    view, heard = View(browser), threading.Condition()
    seen = []

    def tell(event):
        with heard:
            seen.append((threading.get_ident(), event.source, event.sample, event.step))
            heard.notify_all()

    paused.session.bus.subscribe(ActivationCaptured, tell, inline=True)
    view.intent("pin", True)
    wanted = (paused.thread, "probe", 0, step)
    with heard:
        assert heard.wait_for(lambda: wanted in seen, LONG_S)
    assert_same(state_of(paused.model, paused.optimizer), before)
    browser.close()
