"""Layers that behave as in eval while the model is trained."""

from dataclasses import dataclass

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick


@dataclass(frozen=True, slots=True)
class Mode:
    """How one layer with two modes ran in one forward."""

    training: bool
    """Its module's flag."""
    learning: bool
    """A gradient came back in this forward, or the model as a whole was in training mode."""
    frozen: bool = False
    """All of its parameters are frozen: then eval is what fine-tuning recipes ask for."""


def eval_mode(mode: Mode) -> Verdict:
    """Find BatchNorm (or, with all others, dropout) in eval in a forward that is learned from."""
    if mode.training or mode.frozen:
        return HEALTHY
    if not mode.learning:
        return UNSURE
    return sick(
        "Training in eval mode: {who}",
        "module.training is False in a forward whose gradient is used: BatchNorm keeps its old "
        "statistics, dropout is off",
    )
