import pytest

import nbtorchviz as nbv


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
