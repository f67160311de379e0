"""Looks for forwards in eval mode that are learned from, and for training without a step."""

import math
from collections.abc import Iterator

from nbtorchviz.analysis.findings.facts import ModelFacts
from nbtorchviz.analysis.findings.finding import Verdict
from nbtorchviz.analysis.findings.mode_rules import Mode, eval_mode, no_step
from nbtorchviz.analysis.findings.names import is_batch_norm, module_of
from nbtorchviz.events import LayerStatisticsCaptured, ParameterStatisticsCaptured

Verdicts = Iterator[tuple[str, str, Verdict]]


class ModeWatch:
    """Judges each step once, from what its forward or its optimizer step tells."""

    rules = ("eval_mode", "no_step")
    step_rules = ()  # a step tells nothing about a model in training mode: no layer is missing

    def __init__(self, facts: ModelFacts) -> None:
        self._facts = facts
        self._step = -1

    def of_forward(self, event: LayerStatisticsCaptured) -> Verdicts:
        """Yield a verdict on each BatchNorm, and on dropout when the model is in eval."""
        flags = {
            module_of(layer): flag
            for layer, flag in zip(event.layers, event.training, strict=False)
        }
        learning = event.phase == "train"
        norms = zip(event.layers, event.gradient_norms.tolist(), strict=False)
        reached = {module_of(layer) for layer, norm in norms if math.isfinite(norm)}
        if learning:
            verdict = no_step(forwards=event.forward, reached=bool(reached), still=event.still)
            yield "no_step", "", verdict
        if not learning and reached:
            learning = self._newer(event.step)  # without a step in between it is a Grad-CAM
        for layer in self._facts.two_moded:
            # Dropout off in one part is a choice; off because the whole model is in eval is not.
            norm = is_batch_norm(self._facts.kind(layer))
            if layer in flags and (norm or flags[layer] or event.phase == "eval"):
                # A teacher, or a body that is frozen, gets no gradient where other layers do.
                used = learning and (layer in reached or not reached)
                yield self._judged(layer, training=flags[layer], learning=used)

    def of_step(self, event: ParameterStatisticsCaptured) -> Verdicts:
        """Yield a verdict on each layer with two modes when the step's forward was in eval.

        Nothing else may tell: forwards in eval mode are looked into only when someone asks.
        """
        if event.phase == "eval" and self._newer(event.step):
            for layer in self._facts.two_moded:
                yield self._judged(layer, training=False, learning=True)

    def _judged(self, layer: str, *, training: bool, learning: bool) -> tuple[str, str, Verdict]:
        # Eval and frozen is what recipes for fine-tuning ask for.
        frozen = layer in self._facts.frozen
        mode = Mode(training=training, learning=learning, frozen=frozen)
        return "eval_mode", layer, eval_mode(mode)

    def _newer(self, step: int) -> bool:
        newer, self._step = step > self._step, max(step, self._step)
        return newer
