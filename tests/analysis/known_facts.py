"""Facts that tests of conditions write down."""

from nbtorchviz.analysis.conditions import Reading, parse_condition

LAYERS = ("input", "conv1", "conv2", "layer1.0.relu", "layer1.0.relu#1", "0")


class Known:
    """Facts that are written down."""

    def __init__(self, *, step=7, epoch=None, lr=None, found=(), statistics=None, **metrics):
        self._step, self._epoch, self._lr, self._found = step, epoch, lr, found
        self.metrics = metrics.pop("metrics", metrics)
        self.statistics = statistics or {}
        self.asked = []

    def step(self):
        return self._step

    def epoch(self):
        return self._epoch

    def lr(self):
        return self._lr

    def layers(self):
        return LAYERS

    def metric(self, name):
        self.asked.append(name)
        return self.metrics.get(name)

    def best(self, name):
        return self.metrics.get(f"best_{name}")

    def previous(self, name):
        return self.metrics.get(f"previous_{name}")

    def layer_statistic(self, name, layer):
        return self.statistics.get((name, layer))

    def findings(self):
        return self._found


def truth(text, **facts):
    return parse_condition(text).truth(Reading(Known(**facts)))


def why(text, **facts):
    return parse_condition(text).why(Reading(Known(**facts)))
