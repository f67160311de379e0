"""Breakpoints: hold training at the end of the step in which a condition becomes true."""

import itertools
import threading
from collections.abc import Callable
from difflib import get_close_matches
from typing import Protocol

from nbtorchviz.analysis.condition_facts import is_pattern, matching
from nbtorchviz.analysis.condition_reader import FORMS
from nbtorchviz.analysis.conditions import (
    Condition,
    Facts,
    Reading,
    parse_condition,
)
from nbtorchviz.errors import ConditionError, LayerNotFoundError, RunRefusedError
from nbtorchviz.session.breakpoint import Breakpoint, Hit
from nbtorchviz.session.breakpoint_callable import CallableCondition, FactsView
from nbtorchviz.session.breakpoint_needs import Needs

__all__ = ["Breakpoint", "BreakpointFacts", "Breakpoints", "FactsView", "Hit", "Needs"]

MOST = 100
"""Breakpoints at a time."""


class BreakpointFacts(Facts, Protocol):
    """Facts that also know whether a layer exists, and when statistics are new."""

    @property
    def version(self) -> int:
        """A number that grows when a statistic or a finding changes."""

    def find(self, layer: str) -> str:
        """Return the canonical key; raise ``LayerNotFoundError``."""


class Breakpoints:
    """All breakpoints of a session. Added and removed by any thread, looked at by the trainer.

    Args:
        facts: what conditions ask.
        fail: called as ``fail(where, error)`` when a condition raises and is disabled.
        rules: names of the findings that exist; empty where they are not known.
    """

    def __init__(
        self,
        facts: BreakpointFacts,
        *,
        fail: Callable[[str, BaseException], None],
        rules: tuple[str, ...] = (),
    ) -> None:
        self._facts, self._fail, self._rules = facts, fail, rules
        self._all: tuple[Breakpoint, ...] = ()
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._holding: tuple[Breakpoint, ...] = ()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def all(self) -> tuple[Breakpoint, ...]:
        """The breakpoints, the oldest first, disabled ones included."""
        return self._all

    @property
    def needs(self) -> Needs:
        """What has to be recorded at every step for those that work."""
        needs = Needs()
        for each in self._all:
            if not each.fault:
                needs |= each.needs
        return needs

    def add(
        self,
        condition: str | Callable[[FactsView], object],
        *,
        once: bool = False,
        unattended: bool = False,
    ) -> Breakpoint:
        """Pause when ``condition`` becomes true.

        A comparison with NaN is False, also ``!=``; ``isnan(loss)`` asks for NaN. What is not
        known yet, such as a metric that nobody logged, makes nothing true. A pattern such as
        ``conv*`` means any of these layers.

        Args:
            condition: such as ``"grad_norm(conv1) > 100"``, or a function of the facts that
                returns whether to pause; a text that it returns is shown as the reason.
            once: forget it after its first hit: ``add("step() >= 500", once=True)``.
            unattended: hold also where nobody is known who could resume.

        Raises:
            ConditionError: the text is no condition, or names no finding; it says what is
                accepted.
            LayerNotFoundError: it names a layer that does not exist.
            TypeError: it is neither a text nor a function of one argument.
        """
        understood = self._understood(condition)
        with self._lock:
            if len(self._all) >= MOST:
                raise ConditionError(f"There are {MOST} breakpoints already; remove some first.")
            added = Breakpoint(
                next(self._ids),
                understood,
                once=once,
                unattended=unattended,
                remove=self.remove,
            )
            self._all = (*self._all, added)
        return added

    def remove(self, id: int) -> bool:
        """Forget a breakpoint; False when there is none of this id."""
        with self._lock:
            found = [each for each in self._all if each.id == id]
            self._all = tuple(each for each in self._all if each.id != id)
        for each in found:
            each.removed = True
        return bool(found)

    def clear(self) -> None:
        """Forget all."""
        for each in self._all:
            self.remove(each.id)

    def at_boundary(
        self,
        hold: Callable[[], None],
        pause: Callable[[], None] | None = None,
        *,
        late: bool = False,
    ) -> tuple[Hit, ...]:
        """Look at all, on the training thread at the end of a step.

        Args:
            hold: asked to hold training when one became true; may refuse with
                ``RunRefusedError``.
            pause: asked instead where one of them holds unattended.
            late: look at those only that ask for statistics or findings: they came after the
                boundary at which all were looked at.

        Returns:
            Those that became true. A condition that raises is disabled, and training goes on.
        """
        if not self._all:
            return ()
        reading = Reading(self._facts)
        looked = [e for e in self._all if not late or e.needs.statistics or e.needs.rules]
        risen = [(each, why) for each in looked if (why := self._look(each, reading))]
        if not risen:
            return ()
        refused = ""
        try:
            insists = any(each.unattended for each, _ in risen)
            (pause if pause is not None and insists else hold)()
        except RunRefusedError as error:
            refused = str(error)
        self._holding = () if refused else tuple(each for each, _ in risen)
        step = self._facts.step()
        hits = tuple(each.hit(step, why, refused) for each, why in risen)
        for each, _ in risen:
            if each.once:
                self.remove(each.id)
        return hits

    def let_go(self, refused: str) -> tuple[Hit, ...]:
        """Note why the hits of this step hold training no longer; return them so changed."""
        holding, self._holding, step = self._holding, (), self._facts.step()
        return tuple(each.let_go(refused) for each in holding if each.last_step == step)

    def _look(self, each: Breakpoint, reading: Reading) -> str:
        if each.fault:
            return ""
        try:
            return each.look(reading, self._facts.version)
        except Exception as error:  # of the condition, which may be the user's own function
            each.fault = f"{type(error).__name__}: {error}"
            self._fail(f"breakpoint {each.text!r}, disabled now", error)
            return ""

    def _understood(
        self, condition: str | Callable[[FactsView], object]
    ) -> Condition | CallableCondition:
        if isinstance(condition, str):
            understood = parse_condition(condition)
            self._check(understood)
            return understood
        if callable(condition):
            return CallableCondition(condition)
        raise TypeError(
            "A breakpoint takes a condition such as 'loss > 5', or a function of the facts, "
            f"got {type(condition).__name__}."
        )

    def _check(self, condition: Condition) -> None:
        """Refuse names of layers and findings that do not exist, and functions without their ()."""
        layers = self._facts.layers()
        for seen in condition.lookups():
            if seen.text in FORMS and not seen.metric and self._facts.metric(seen.name) is None:
                raise ConditionError(
                    f"{seen.text} is a function: write {FORMS[seen.text]}, or metric({seen.text}) "
                    "for a number that you log under that name."
                )
            if seen.of_layer and seen.name and not is_pattern(seen.name):
                if self._facts.find(seen.name) == "input":
                    raise ConditionError(
                        f"{seen.text} is not known: no statistics are taken of the model's input. "
                        "Log a number of it, session.log(largest=x.max()), and ask for that."
                    )
            elif seen.pattern and not matching(seen.name, layers):
                wider = f"*{seen.name.strip('*')}*"
                count = len(matching(wider, layers))
                hint = f"{wider!r} matches {count}." if count else "None is alike."
                raise ConditionError(
                    f"No layer matches {seen.name!r}. {hint} "
                    f"({len(layers)} layers; see session.layers)"
                )
        for place in condition.places():
            self._check_place(place)
        for rule in condition.rules():
            if self._rules and not matching(rule, self._rules):
                near = get_close_matches(rule, self._rules, n=3) or self._rules
                raise ConditionError(
                    f"There is no finding {rule!r}. Nearest: {', '.join(map(repr, near))}."
                )

    def _check_place(self, place: str) -> None:
        """Refuse what is neither a layer nor a parameter of one; a block without a call is."""
        known = self._facts.layers()
        if is_pattern(place) or any(name.startswith(f"{place}.") for name in known):
            return
        try:
            self._facts.find(place)
        except LayerNotFoundError:
            layer = place.rpartition(".")[0]
            if layer not in known:
                raise
