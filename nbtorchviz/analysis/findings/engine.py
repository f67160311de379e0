"""The findings of one training: events in, plain sentences out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from nbtorchviz.analysis.findings.facts import ModelFacts
from nbtorchviz.analysis.findings.finding import Finding, Verdict
from nbtorchviz.analysis.findings.latch import Board
from nbtorchviz.analysis.findings.layer_watch import ChannelWatch, LayerWatch
from nbtorchviz.analysis.findings.loss_watch import LOSS_RULES, LossWatch
from nbtorchviz.analysis.findings.mode_watch import ModeWatch
from nbtorchviz.analysis.findings.parameter_watch import ParameterWatch
from nbtorchviz.analysis.findings.telling import sentences, sort_key
from nbtorchviz.events import (
    ActivationCaptured,
    Event,
    LayerStatisticsCaptured,
    ModelAttached,
    ParameterStatisticsCaptured,
    RunStarted,
    ScalarLogged,
)

Verdicts = Iterable[tuple[str, str, Verdict]]


class Findings:
    """Listens to one session and says what is wrong with its training.

    Feed it every event in the order in which they happened. It reads ``ModelAttached``,
    ``LayerStatisticsCaptured``, ``ParameterStatisticsCaptured``, ``ScalarLogged``,
    ``ActivationCaptured`` (dead channels) and ``RunStarted`` (a new run begins with no findings),
    and ignores all others. Its memory does not grow with the length of a run.

    Not to be called from two threads at once; ``active`` may be read from any.
    """

    def __init__(self) -> None:
        self._facts = ModelFacts()
        self._parameters = ParameterWatch(self._facts)
        self._channels = ChannelWatch(self._facts)
        self._losses = LossWatch()
        self._layers, self._modes = LayerWatch(self._facts), ModeWatch(self._facts)
        self._board = Board()
        self._loss_run = 1
        self._active: tuple[Finding, ...] = ()
        self._places: tuple[tuple[str, str], ...] | None = ()
        """None until somebody asks."""

    @property
    def active(self) -> tuple[Finding, ...]:
        """What is wrong now, the worst first."""
        return self._active

    def know(self, model: ModelAttached, frozen: Iterable[str]) -> None:
        """Take in what is known of a model before anything was read of its training."""
        if not self._facts.kinds:
            self._facts.attached(model)
        if not self._facts.owners:
            self._facts.frozen = set(frozen)

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """(rule, place) of all that the active findings are about, what they name first leading.

        Of layers that one sentence gathers each is there, and each parameter that was ill.
        """
        if self._places is None:
            told = [(found.rule, place) for found in self._active for place in _named(found)]
            rules = {found.rule for found in self._active}
            raised = [(latch.rule.name, subject) for subject, latch in self._board.raised()]
            inside = [place for place in raised if place[0] in rules]
            self._places = tuple(dict.fromkeys([*told, *inside]))
        return self._places

    def observe(self, event: Event) -> list[Finding]:
        """Take in one event.

        Returns:
            Findings taken back by it (``active`` is False), then those raised by it, the worst
            first. Numbers of a finding that stays are renewed in ``active`` without being returned.
        """
        judged = False
        for rules, verdicts in self._judgements(event):
            self._board.judge(rules, verdicts, event.step)
            judged = True
        return self._renew(event.step) if judged else []

    def _judgements(self, event: Event) -> Iterator[tuple[Sequence[str], Verdicts]]:
        match event:
            case ParameterStatisticsCaptured():
                if event.parameters:  # else it only tells that a step was made, and in which phase
                    yield self._parameters.rules, self._parameters.verdicts(event)
                yield self._modes.step_rules, self._modes.of_step(event)
            case LayerStatisticsCaptured():
                self._facts.called(event.layers)
                if event.phase == "train":
                    yield self._layers.rules, self._layers.verdicts(event)
                yield self._modes.rules, self._modes.of_forward(event)
            case ActivationCaptured():
                yield self._channels.rules, self._channels.verdicts(event)
            case ScalarLogged():
                if event.run != self._loss_run:
                    self._loss_run = event.run
                    self._forget_losses()
                yield self._losses.rules, self._losses.verdicts(event)
            case ModelAttached():
                self._facts.attached(event)
                self._board.keep("dead_channels", self._facts.kinds)
                yield (), ()
            case RunStarted():
                self._parameters.forget()
                self._channels.forget()
                self._losses.forget()
                self._board = Board()
                yield (), ()

    def _forget_losses(self) -> None:
        """Judge a loss that was begun anew by itself; the model may go on as it was."""
        self._losses.forget()
        for rule in LOSS_RULES:
            self._board.keep(rule, ())

    def _renew(self, step: int) -> list[Finding]:
        before = {(finding.rule, finding.layer): finding for finding in self._active}
        now: dict[tuple[str, str], Finding] = {}
        leads = {finding.rule: finding.layer for finding in self._active}
        for finding in sentences(self._board.raised(), self._facts, leads):
            now.setdefault((finding.rule, finding.layer), finding)
        self._active = tuple(sorted(now.values(), key=sort_key))
        self._places = None
        gone = [
            replace(
                finding,
                active=False,
                evidence=f"Taken back at step {step}; last seen at step {finding.last_step}.",
            )
            for key, finding in before.items()
            if key not in now
        ]
        new = [finding for finding in self._active if (finding.rule, finding.layer) not in before]
        return gone + new


def _named(finding: Finding) -> tuple[str, ...]:
    return (finding.layer, *finding.layers)
