"""Applies the rules about gradients, optimizers and updates to each step's parameter numbers."""

import math
from collections.abc import Iterator

from nbtorchviz.analysis.findings.facts import ModelFacts
from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Health, Verdict
from nbtorchviz.analysis.findings.gradient_rules import (
    Depth,
    first_third,
    nonfinite_gradients,
    skipped_steps,
    vanishing,
)
from nbtorchviz.analysis.findings.growth_rules import NormHistory, exploding, growth_of
from nbtorchviz.analysis.findings.names import SQUASHING, is_embedding, is_norm
from nbtorchviz.analysis.findings.reach_rules import (
    GradientMemory,
    gradient_stopped,
    no_gradient,
    no_optimizer,
    no_update,
    zero_gradient,
    zero_gradients,
)
from nbtorchviz.analysis.findings.rows import (
    ParameterRow,
    main_weights,
    read_rows,
    usual_weight,
)
from nbtorchviz.analysis.findings.twin_rules import twin_weights
from nbtorchviz.analysis.findings.update_rules import (
    RatioHistory,
    ratio_of,
    update_too_large,
    update_too_small,
)
from nbtorchviz.events import ParameterStatisticsCaptured

Verdicts = Iterator[tuple[str, str, Verdict]]

MOST_LAYERS = 4_096
"""Layers whose update ratios are remembered."""
SKIPPED = "skipped (inf)"
NOT_STEPPED = "not stepped"


class ParameterWatch:
    """Remembers what the rules need of earlier steps: some thousand numbers at most."""

    rules = (
        *("nonfinite_gradients", "skipped_steps", "exploding_gradients", "vanishing_gradients"),
        *("no_optimizer", "no_gradient", "zero_gradient", "no_update", "update_too_large"),
        *("update_too_small", "duplicated_layer", "gradient_stopped", "zero_gradients"),
    )

    def __init__(self, facts: ModelFacts) -> None:
        self._facts = facts
        self.forget()

    def forget(self) -> None:
        """Begin a new run."""
        self._norms = NormHistory()
        self._ratios: dict[str, RatioHistory] = {}
        self._reached = GradientMemory()
        self._idle: dict[str, int | None] = {}
        """Parameter -> readings without a step of its optimizer; None once there was one."""
        self._faintest = math.inf
        """Least gradient of the first layers while gradients vanished; infinite: they do not."""
        self._moved: dict[str, float] = {}
        """Parameter -> largest gradient norm with which it moved."""

    def verdicts(self, event: ParameterStatisticsCaptured) -> Verdicts:
        """Yield (rule, layer or parameter, verdict); ``""`` is the whole model."""
        rows = read_rows(event)
        self._learn(rows)
        skipped = event.skipped or any(row.state == SKIPPED for row in rows)
        yield "skipped_steps", "", skipped_steps(skipped=skipped)
        for row in rows:
            yield "no_optimizer", row.name, no_optimizer(row, idle=self._idle_readings(row))
        if skipped:  # the gradients hold infinities that nobody uses, and nothing was updated
            return
        # A step of another optimizer (a GAN's other half) shows nothing about these.
        rows = [row for row in rows if row.state != NOT_STEPPED]
        trained = [row for row in rows if row.trained]
        weights = main_weights(trained)
        yield "nonfinite_gradients", "", nonfinite_gradients(trained)
        yield "zero_gradients", "", zero_gradients(trained)
        yield "exploding_gradients", "", self._exploding(trained)
        matrices = [row for row in weights if self._is_matrix(row)]
        usual = usual_weight(matrices)
        yield "vanishing_gradients", "", self._vanishing(self._depth(matrices, usual))
        yield from self._reach(rows, weights, event.step)
        yield from self._updates(weights, usual)
        twins = twin_weights(weights)
        yield from (
            ("duplicated_layer", row.layer, twins.get(row.layer, HEALTHY)) for row in weights
        )

    def _learn(self, rows: list[ParameterRow]) -> None:
        self._facts.parameters = tuple(row.name for row in rows if row.state != "frozen")
        self._facts.owners = {row.layer for row in rows}
        thawed = {row.layer for row in rows if row.state != "frozen"}
        self._facts.frozen = self._facts.owners - thawed

    def _idle_readings(self, row: ParameterRow) -> int:
        """Readings in which its optimizer made no step, if it never made one."""
        idle = self._idle.get(row.name, 0)
        if idle is not None:
            idle = idle + 1 if row.state == NOT_STEPPED else None
        self._idle[row.name] = idle
        return idle or 0

    def _exploding(self, rows: list[ParameterRow]) -> Verdict:
        growth = growth_of(self._norms, rows)
        self._norms.add(growth)
        return exploding(growth, sum(self._norms.leaps), self._norms.leap)

    def _vanishing(self, depth: Depth) -> Verdict:
        verdict = vanishing(depth, faintest=self._faintest)
        if verdict.health is Health.SICK:
            self._faintest = min(self._faintest, first_third(depth))
        elif verdict.health is Health.HEALTHY:
            self._faintest = math.inf
        return verdict

    def _is_matrix(self, row: ParameterRow) -> bool:
        kind = self._facts.kind(row.layer)
        # A parameter of the model itself (a position table) is no step of the depth.
        return not is_norm(kind) and not is_embedding(kind) and "." in row.name

    def _depth(self, matrices: list[ParameterRow], usual: float) -> Depth:
        known = {row.layer: row for row in matrices}
        layers = self._facts.in_order(known)
        rows = [known[layer] for layer in layers]
        return Depth(
            layers,
            [row.gradient_rms for row in rows],
            saturating=any(kind in SQUASHING for kind in self._facts.kinds.values()),
            sizes=[row.weight_rms / usual for row in rows],
            ratios=[row.ratio for row in rows],
        )

    def _reach(self, rows: list[ParameterRow], weights: list[ParameterRow], step: int) -> Verdicts:
        others = any(row.gradient > 0 for row in rows)
        memory = self._reached
        memory.keep(self._facts.parameters)
        nowhere = all(row.state in ("unused", "frozen") for row in rows)
        if others:
            memory.add(rows, step)
        for row in rows:
            yield (
                "no_gradient",
                row.name,
                no_gradient(row, others=others, memory=memory, nowhere=nowhere),
            )
            yield "gradient_stopped", row.name, gradient_stopped(row, memory=memory)
        for row in weights:
            yield "zero_gradient", row.layer, zero_gradient(row, others=others)
            # Updates are estimated from some values, which may all lie in rows of an embedding
            # that the batch did not meet.
            if not is_embedding(self._facts.kind(row.layer)):
                verdict = no_update(row, moved_by=self._moved.get(row.name, 0.0))
                yield "no_update", row.layer, verdict
                if verdict is HEALTHY and len(self._moved) < MOST_LAYERS:
                    self._moved[row.name] = max(self._moved.get(row.name, 0.0), row.gradient)

    def _updates(self, weights: list[ParameterRow], usual: float) -> Verdicts:
        for row in weights:
            if "." not in row.name and row.name != "weight":
                continue  # a token or table of the model itself, which may begin at zero
            history = self._ratios.get(row.layer)
            if history is None:
                if len(self._ratios) >= MOST_LAYERS:
                    continue
                history = self._ratios[row.layer] = RatioHistory()
            if math.isfinite(row.ratio):
                history.add(row)
            if not history.ratios or not math.isfinite(row.ratio):
                continue
            ratio = ratio_of(row.name, history, size=row.weight_rms / usual)
            # A norm layer's scale begins at 1 and is meant to stay near it.
            small = UNSURE if is_norm(self._facts.kind(row.layer)) else update_too_small(ratio)
            yield "update_too_large", row.layer, update_too_large(ratio)
            yield "update_too_small", row.layer, small
