"""The input that a user pinned, and the runs of the model that show it, between two steps."""

from abc import abstractmethod
from collections.abc import Callable

from nbtorchviz.capture.plans import Catch, Inputs, Plan
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.session.audience import Audience
from nbtorchviz.session.budget import Budget
from nbtorchviz.session.kept_frames import KeptFrames
from nbtorchviz.session.looks import Looks
from nbtorchviz.session.planner import Planner

PROBE_S = 1.0
"""A pinned input is shown again no more often than this."""


class Pinning:
    """The part of a ``Recorder`` that keeps a pinned input and shows it."""

    tap: ModelTap
    looks: Looks
    planner: Planner
    kept: dict[str, KeptFrames]
    times: dict[str, float]
    _audience: Audience
    _budget: Budget
    _clock: Callable[[], float]
    _wake_held: Callable[[], None]

    def __init__(self) -> None:
        self._pinned: tuple[Inputs, object] | None = None
        self._probe_wanted, self._probed_s = False, 0.0
        self._probed_at = float("-inf")

    @abstractmethod
    def _publish(self, catch: Catch, step: int, plan: Plan) -> None:
        """Turn what was caught into events."""

    @property
    def pinned(self) -> bool:
        """Whether an input is pinned."""
        return self._pinned is not None

    @property
    def probe_wanted(self) -> bool:
        """Whether a user waits for the pinned input to be shown."""
        return self._probe_wanted and self._pinned is not None

    def pin(self, inputs: Inputs, labels: object = None) -> None:
        """Keep ``inputs`` (the model's arguments) and show them instead of training batches."""
        self._pinned = (inputs, labels)
        self.kept["pinned"].clear()
        self.want_probe()

    @property
    def pinned_inputs(self) -> tuple[Inputs, object] | None:
        """The pinned input with its labels, if any."""
        return self._pinned

    def unpin(self) -> None:
        """Show items of the training batches again."""
        self._pinned = None

    def want_probe(self) -> None:
        """Show the pinned input at the next occasion, without waiting for the clock."""
        self._probe_wanted = True
        self.tap.attend()
        self._wake_held()

    def run_probe(self) -> None:
        """Run the model on the pinned input, on this thread, and publish what the layers did."""
        if self._pinned is None:
            return
        self._probe_wanted = False
        (inputs, labels), began = self._pinned, self._clock()
        plan = self.planner.plan_of_pinned(self.tap, self.kept["pinned"])
        catch = self.tap.probe(inputs, plan, labels=labels)
        self.planner.surveyed = True
        self._probed_at = self._clock()
        self.times.setdefault("forward", began)
        self._publish(catch, self.tap.step, plan)
        self._probed_s = self._clock() - began
        self._budget.spent("probe", self._probed_s - catch.cost_s)

    def _probe_is_due(self) -> bool:
        if self._probe_wanted:
            return True
        watched = self.planner.every is not None or self._audience.seen()
        due = self._clock() - self._probed_at >= PROBE_S and self._budget.due()
        return watched and due and any(look.pinned for look in self.looks.all())
