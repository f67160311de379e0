"""A map's forward never meets a training forward on another thread."""

import threading

import numpy as np
import pytest
import torch

import nbtorchviz as nbv
from nbtorchviz.errors import RunRefusedError
from tests.attribution.models import PooledLinear

IMAGES = torch.ones(1, 3, 8, 8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PooledLinear()


@pytest.fixture
def session(model):
    session = nbv.watch(model, torch.optim.SGD(model.parameters(), 0.01))
    yield session
    session.close()


def test_it_is_refused_during_a_background_run_and_made_by_it_or_in_a_pause(model, session):
    began, ready, stop, made = threading.Event(), threading.Event(), threading.Event(), []

    def fit():
        while not stop.is_set():
            model(torch.randn(4, 3, 8, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            if not made:
                made.append(nbv.gradcam(model, IMAGES))  # at a boundary, on the training thread
                began.set()

    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    session.gate.listen(lambda state: ready.set() if state == "paused" else None)
    run = session.train_in_background(fit)
    assert began.wait(30)
    with pytest.raises(RunRefusedError, match=r"Another thread is training.*session\.run\.pause"):
        nbv.gradcam(model, IMAGES)
    assert all(module.training for module in model.modules())
    run.pause()
    assert ready.wait(30)
    assert nbv.gradcam(model, IMAGES).maps.shape == made[0].maps.shape
    run.resume()
    stop.set()
    run.join(30)
    assert np.isfinite(nbv.gradcam(model, IMAGES).maps).all()


def test_a_model_that_nobody_trains_is_mapped_on_any_thread(model, session):
    found = []
    thread = threading.Thread(target=lambda: found.append(nbv.gradcam(model, IMAGES)))
    thread.start()
    thread.join(30)
    np.testing.assert_array_equal(found[0].maps, nbv.gradcam(model, IMAGES).maps)
