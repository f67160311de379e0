"""Forwards that look like training and are not, and the other way round."""

from dataclasses import dataclass

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick

ACCUMULATED = 64
"""Forwards before the first step from which on they are no gradient accumulation. Our choice."""


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


def no_step(*, forwards: int, reached: bool, still: bool) -> Verdict:
    """Find a training loop whose gradients nobody applies.

    Args:
        forwards: of the model so far, without any step of an optimizer that owns its parameters.
        reached: whether a gradient came back in this one.
        still: whether the parameters hold what they held at the sample before: weights may also be
            changed by hand.
    """
    if not still:
        return HEALTHY
    if not reached or forwards <= ACCUMULATED:
        return UNSURE
    return sick(
        "No optimizer step changes the model",
        f"{forwards} forwards and gradients, no step of an optimizer that holds the model's "
        "parameters, and the weights stay what they were",
    )
