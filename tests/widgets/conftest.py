import pytest

import nbtorchviz as nbv
from nbtorchviz.session import registry


@pytest.fixture(autouse=True)
def no_session_left():
    """Close what a test leaves open, also of a widget whose constructor refused its arguments."""
    yield
    for _, session in list(registry._sessions._items.values()):
        session.close()


@pytest.fixture
def browse(net):
    made = []

    def browse(*args, **kwargs):
        made.append(nbv.ActivationBrowser(*(args or (net,)), **kwargs))
        return made[-1]

    yield browse
    for browser in made:
        browser.close()
        browser.session.close()
