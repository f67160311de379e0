import pytest

import nbtorchviz as nbv


@pytest.fixture
def guard():
    """Arm a session; close it after the test."""
    sessions = []

    def arm(model, optimizer=None, action="raise", *, every_step=True, **options):
        session = nbv.watch(model, optimizer, **options)
        sessions.append(session)
        session.on_nonfinite(action, every_step=every_step)
        return session

    yield arm
    for session in sessions:
        assert session.faults == []
        session.close()
