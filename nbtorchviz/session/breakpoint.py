"""One breakpoint: a condition, whether it was true before, and what it found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from nbtorchviz.analysis.condition_facts import LAYER_FUNCTIONS
from nbtorchviz.analysis.conditions import Condition, Reading
from nbtorchviz.session.breakpoint_callable import CallableCondition
from nbtorchviz.session.breakpoint_needs import Needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A breakpoint that became true."""

    id: int
    """Of the breakpoint."""
    step: int
    why: str
    """``"grad_norm(conv1) = 131 > 100"``."""
    refused: str = ""
    """Why training was not held; empty when it was."""

    @property
    def text(self) -> str:
        """One sentence: ``"paused at step 142: grad_norm(conv1) = 131 > 100"``."""
        if self.refused:
            return f"not paused at step {self.step} although {self.why}. {self.refused}"
        return f"paused at step {self.step}: {self.why}"


class Breakpoint:
    """Pauses training when its condition becomes true, not again while it stays so."""

    def __init__(
        self,
        id: int,
        condition: Condition | CallableCondition,
        *,
        once: bool,
        unattended: bool = False,
        remove: Callable[[int], object],
    ) -> None:
        self.id = id
        self.text = condition.text
        self.once = once
        self.unattended = unattended
        """Whether it holds training where nobody is known who could resume it."""
        self.hits = 0
        self.last: Hit | None = None
        """The newest hit."""
        self.fault = ""
        """Why it was disabled: its condition raised. Empty while it works."""
        self.removed = False
        self.waiting_for: tuple[str, ...] = ()
        """Facts that were not known when it was last looked at and that decide."""
        self._meant = ""
        """A metric that was logged under a name that it reads as arithmetic."""
        self._condition, self._remove = condition, remove
        self._was, self._version, self._only_statistics = False, -1, False
        if isinstance(condition, Condition):
            pairs = [pair for seen in condition.lookups() for pair in seen.reads]
            self._only_statistics = all(function in LAYER_FUNCTIONS for function, _ in pairs)
            self._needs = Needs.of(pairs, condition.rules())

    @property
    def needs(self) -> Needs:
        """What has to be recorded for it; of a function what it asked for so far."""
        if isinstance(self._condition, CallableCondition):
            return self._condition.needs
        return self._needs

    @property
    def state(self) -> str:
        """In words: ``"armed"``, ``"true since step 142"``, ``"waiting for loss"``, ..."""
        if self.removed:
            return "removed"
        if self.fault:
            return f"disabled: {self.fault}"
        if self._was and self.last is not None:
            return f"true since step {self.last.step}"
        if not self.waiting_for:
            return "armed"
        hint = f": did you mean metric({self._meant})?" if self._meant else ""
        return f"waiting for {', '.join(self.waiting_for)}{hint}"

    @property
    def last_step(self) -> int | None:
        """Of the newest hit."""
        return None if self.last is None else self.last.step

    def remove(self) -> None:
        """Forget this breakpoint."""
        self._remove(self.id)

    def look(self, reading: Reading, version: int) -> str:
        """Say why it became true just now; ``""`` when it did not.

        Where a fact that decides is not known, nothing changes.

        Args:
            reading: the facts.
            version: of the statistics; the same one is not looked at twice where a condition
                reads nothing else, because ``grad_norm(*)`` has many layers to read.
        """
        if self._only_statistics and version == self._version:
            return ""
        self._version = version
        truth = self._condition.truth(reading)
        if truth is None:
            self.waiting_for = tuple(self._unknown(reading))
            self._meant = self._logged_whole(reading)
            return ""
        self.waiting_for = ()
        rises, self._was = truth and not self._was, truth
        return self._condition.why(reading) if rises else ""

    def hit(self, step: int, why: str, refused: str) -> Hit:
        """Count a hit."""
        self.hits += 1
        self.last = Hit(id=self.id, step=step, why=why, refused=refused)
        return self.last

    def let_go(self, refused: str) -> Hit:
        """Note that its newest hit holds training no longer, and why."""
        if self.last is None:
            raise ValueError(f"{self!r} has not held training.")
        self.last = replace(self.last, refused=refused)
        return self.last

    def _unknown(self, reading: Reading) -> Iterator[str]:
        if isinstance(self._condition, Condition):
            for seen in self._condition.lookups():
                if seen.pattern or seen.number(reading, "") is None:
                    yield seen.text

    def _logged_whole(self, reading: Reading) -> str:
        joined = self._condition.joined if isinstance(self._condition, Condition) else ()
        known = (name for name in joined if reading.value("metric", name) is not None)
        return next(known, "")

    def __repr__(self) -> str:
        times = "1 hit" if self.hits == 1 else f"{self.hits} hits"
        return f"<Breakpoint {self.id}: {self.text}, {times}, {self.state}>"
