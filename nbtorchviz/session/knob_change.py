"""What turning a knob did, and what a knob shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change that was made at a step boundary, or was not."""

    text: str
    """Few words for the curve and the log: ``"lr 0.05 → 0.005"``."""
    note: str = ""
    """What else to know, in sentences; may be empty."""
    knob: str = ""
    """``"lr"``, ``"weight_decay"``, ``"momentum"``, ``"betas"``, ``"frozen"``, ``"dropout"``."""
    layer: str = ""
    """Layer key that a click on the flag shows; may be empty."""
    applied: bool = True
    """False: the model or the optimizer had changed meanwhile; ``note`` says why."""
    step: int | None = None
    """The step after which it was made; None where nobody counted."""

    def __str__(self) -> str:
        return f"{self.text}. {self.note}" if self.note else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobValue:
    """Where one knob stands."""

    knob: str
    target: str
    """Label of a parameter group, or a layer key."""
    value: float | tuple[float, ...] | bool | None
    """None: on another device, which is not waited for."""
    group: int | None = None
    """Index of the parameter group; None for a layer."""
