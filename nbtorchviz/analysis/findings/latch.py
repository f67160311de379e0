"""Hysteresis: a finding is raised when its illness held, and taken back when health held."""

from collections.abc import Collection, Iterable, Iterator

from nbtorchviz.analysis.findings.catalogue import RULES, Rule
from nbtorchviz.analysis.findings.finding import UNSURE, Health, Verdict
from nbtorchviz.analysis.findings.names import module_of

MOST_LATCHES = 4_096
"""Pairs of rule and layer that are followed at once; a model that is ill in more places than that
is told about these."""
FORGOTTEN_AFTER = 50
"""Observations without a layer after which what was said about it is taken back: it is gone."""


class Latch:
    """Follows one rule at one layer."""

    __slots__ = ("_ill", "_well", "layer", "missed", "raised", "rule", "since_step", "told")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.raised = False
        self.layer = ""
        """What to look at, fixed when it is raised."""
        self.since_step = 0
        self.told: tuple[Verdict, int] = (UNSURE, 0)
        """The newest verdict that spoke for the illness, and its step."""
        self.missed = 0
        self._ill = self._well = 0

    def judge(self, verdict: Verdict, step: int) -> None:
        """Take in one observation."""
        self.missed = 0
        if verdict.health is Health.SICK:
            if not self._ill:
                self.since_step = step
            self._ill, self._well = self._ill + 1, 0
            self.told = (verdict, step)
            if not self.raised and self._suffices(step):
                self.raised, self.layer = True, verdict.layer
        elif verdict.health is Health.HEALTHY:
            self._well += 1
            if not self.raised:
                self._ill = 0
            elif self._well >= self.rule.clear_after:
                self.raised, self._ill = False, 0

    def _suffices(self, step: int) -> bool:
        rule = self.rule
        spread = step - self.since_step >= rule.over_steps
        return self._ill >= rule.raise_after or (0 < rule.enough <= self._ill and spread)

    @property
    def idle(self) -> bool:
        """True when nothing would be lost by forgetting it."""
        return not self.raised and not self._ill


class Board:
    """The latches of all rules. Only those that saw something are kept."""

    def __init__(self) -> None:
        self._latches: dict[tuple[str, str], Latch] = {}

    def judge(
        self, rules: Iterable[str], verdicts: Iterable[tuple[str, str, Verdict]], step: int
    ) -> None:
        """Take in one observation of many layers.

        Args:
            rules: that were applied; their subjects that are missing from ``verdicts`` count as
                absent this time.
            verdicts: (rule, subject, verdict).
            step: of the observation.
        """
        applied = set(rules)
        for latch in self._latches.values():
            if latch.rule.name in applied:
                latch.missed += 1
        for rule, subject, verdict in verdicts:
            key = (rule, subject)
            if key not in self._latches:
                if verdict.health is not Health.SICK or len(self._latches) >= MOST_LATCHES:
                    continue
                self._latches[key] = Latch(RULES[rule])
            self._latches[key].judge(verdict, step)
        gone = [k for k, v in self._latches.items() if v.idle or v.missed > FORGOTTEN_AFTER]
        for key in gone:
            del self._latches[key]

    def keep(self, rule: str, subjects: Collection[str]) -> None:
        """Forget a rule's subjects that are not among ``subjects``."""
        for key in [k for k in self._latches if k[0] == rule and module_of(k[1]) not in subjects]:
            del self._latches[key]

    def raised(self) -> Iterator[tuple[str, Latch]]:
        """Iterate over (subject, latch) of what is raised."""
        return ((key[1], latch) for key, latch in self._latches.items() if latch.raised)
