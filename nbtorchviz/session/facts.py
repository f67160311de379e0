"""The facts that breakpoints ask for: logged numbers, newest statistics, active findings."""

import math
from collections.abc import Callable, Iterable

from nbtorchviz.analysis.curves import rising_is_better, split_name
from nbtorchviz.events import (
    Event,
    LayerStatisticsCaptured,
    ParameterStatisticsCaptured,
    Statistics,
)
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.parameter_facts import ParameterFacts
from nbtorchviz.session.series import Point

_FIELDS = {
    "mean": "mean",
    "std": "std",
    "min": "minimum",
    "max": "maximum",
    "zero_share": "zero_share",
    "nan_count": "nan",
}


class SessionFacts:
    """What is known of one watched model now (``Facts`` of ``analysis.conditions``).

    Statistics are those of the newest event that was observed. Asked on the training thread.

    Args:
        metrics: where logged numbers are kept.
        step: returns the optimizer steps finished.
        epoch: returns the last epoch that was logged.
        rate: returns the learning rate.
        layers: returns the layer keys.
        find: returns the canonical key of a layer, raises ``LayerNotFoundError``.
        findings: returns (rule, place) of all that the active findings are about.
    """

    def __init__(
        self,
        metrics: MetricHistory,
        *,
        step: Callable[[], int],
        epoch: Callable[[], float | None],
        rate: Callable[[], float | None],
        layers: Callable[[], tuple[str, ...]],
        find: Callable[[str], str],
        findings: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        self._metrics = metrics
        self._step, self._epoch, self._layers, self._find = step, epoch, layers, find
        self._findings, self._rate = findings, rate
        self._forward: LayerStatisticsCaptured | None = None
        self._activations: dict[str, Statistics] | None = None
        """Of ``_forward``; None until somebody asks."""
        self._activation_gradients: dict[str, float] = {}
        self._parameters = ParameterFacts()
        self._worked_out: dict[tuple[str, str], float | None] = {}
        """Statistics since the newest event: a step without one asks for the same again."""
        self.version = 0
        """Grows with every event that was observed."""
        self._last: dict[str, tuple[int, Point, float | None]] = {}
        """Of metrics: step of the last look, what was newest then, what stood before it."""

    def observe(self, event: Event) -> None:
        """Take the newest statistics; of other events only that they happened."""
        self.version += 1
        if isinstance(event, LayerStatisticsCaptured | ParameterStatisticsCaptured):
            self._worked_out = {}
        if isinstance(event, LayerStatisticsCaptured):
            self._forward, self._activations = event, None
            norms = zip(event.layers, event.gradient_norms.tolist(), strict=False)
            self._activation_gradients = dict(norms)
        elif isinstance(event, ParameterStatisticsCaptured):
            self._parameters.observe(event)

    def step(self) -> int:
        """Return the optimizer steps finished."""
        return self._step()

    def epoch(self) -> float | None:
        """Return the last epoch that was logged."""
        return self._epoch()

    def lr(self) -> float | None:
        """Return the learning rate, the largest of all parameter groups."""
        return self._rate()

    def layers(self) -> tuple[str, ...]:
        """Return the keys that patterns are matched with."""
        return self._layers()

    def find(self, layer: str) -> str:
        """Return the canonical key of a layer.

        Raises:
            LayerNotFoundError: no such layer.
        """
        return self._find(layer)

    def findings(self) -> tuple[tuple[str, str], ...]:
        """Return (rule, place) of all that the active findings are about, the worst first."""
        return tuple(self._findings())

    def metric(self, name: str) -> float | None:
        """Return what was logged last; ``val_loss`` also finds ``loss`` of ``phase="eval"``."""
        point = self._latest(name)
        return None if point is None else point.value

    def best(self, name: str) -> float | None:
        """Return the best value: the largest where rising is better, else the smallest."""
        rising = rising_is_better(name)
        try:
            point = self._metrics.best(name, largest=rising)
        except KeyError:
            known = self._logged_as(name)
            point = None if known is None else self._metrics.best(known, largest=rising)
        return None if point is None else point.value

    def previous(self, name: str) -> float | None:
        """Return what stood before the last value, in the same run.

        Asked at every step it is what was newest a step ago: looking into all curves of a long
        session takes a millisecond (measured), remembering one number takes none.
        """
        newest, step = self._latest(name), self._step()
        if newest is None:
            return None
        looked, seen, before = self._last.get(name, (-2, None, None))
        if seen is None or step - looked not in (0, 1) or newest.step < seen.step:
            before = self._before(self._logged_as(name) or name)
        elif newest != seen:
            before = seen.value
        self._last[name] = step, newest, before
        return before

    def layer_statistic(self, name: str, layer: str) -> float | None:
        """Return a statistic of a layer.

        Norms are L2 over all parameters of the layer and of the layers inside it, of the whole
        model for ``""``. ``grad_norm`` of a layer without parameters is that of the gradient of
        the loss with respect to its activation. The others are of the activation, sampled.

        Raises:
            LayerNotFoundError: no such layer.
        """
        asked = name, layer
        if asked not in self._worked_out:
            self._worked_out[asked] = self._statistic(name, self._find(layer) if layer else "")
        return self._worked_out[asked]

    def _statistic(self, name: str, key: str) -> float | None:
        if name in _FIELDS:
            statistics = self._statistics().get(key)
            value = None if statistics is None else getattr(statistics, _FIELDS[name])
            return None if value is None else float(value)
        if name == "weight_norm":
            return self._parameters.weight_norm(key)
        if name == "update_ratio":
            return self._parameters.update_ratio(key)
        if self._parameters.has(key):
            return self._parameters.gradient_norm(key)
        norm = self._activation_gradients.get(key, math.nan)
        return None if math.isnan(norm) else norm  # NaN: none arrived

    def _statistics(self) -> dict[str, Statistics]:
        if self._activations is None:
            event = self._forward
            pairs = zip(event.layers, event.statistics, strict=False) if event is not None else ()
            self._activations = dict(pairs)
        return self._activations

    def _latest(self, name: str) -> Point | None:
        try:
            return self._metrics.latest(name)
        except KeyError:
            known = self._logged_as(name)
            return None if known is None else self._metrics.latest(known)

    def _before(self, name: str) -> float | None:
        views = {run: view for (run, key), view in self._metrics.views().items() if key == name}
        values = views[max(views)].values
        return float(values[-2]) if len(values) > 1 else None

    def _logged_as(self, name: str) -> str | None:
        names = self._metrics.names()
        if name in names:
            return name
        wanted = split_name(name)
        alike = (known for known in names if wanted[1] and split_name(known) == wanted)
        return next(alike, None)
