"""What a rule says about one piece of evidence, and what is told to the user."""

from dataclasses import dataclass
from enum import Enum

from nbtorchviz.events import Event, FindingRaised


class Health(Enum):
    """What one observation speaks for."""

    SICK = "sick"
    HEALTHY = "healthy"
    UNSURE = "unsure"
    """Between the two thresholds, or not measured: it counts for neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule makes of one observation."""

    health: Health
    claim: str = ""
    """A sentence without full stop. ``{who}`` stands for the layers it is about."""
    evidence: str = ""
    """Numbers, without the steps, which the engine adds."""
    remedy: str = ""
    """Only where it differs from the rule's own."""
    layer: str = ""
    """Layer to look at, for rules about the whole model."""


HEALTHY = Verdict(health=Health.HEALTHY)
UNSURE = Verdict(health=Health.UNSURE)


def sick(claim: str, evidence: str, *, remedy: str = "", layer: str = "") -> Verdict:
    """Say that an observation shows the illness."""
    return Verdict(health=Health.SICK, claim=claim, evidence=evidence, remedy=remedy, layer=layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a training, in words."""

    rule: str
    """``"vanishing_gradients"``; see ``catalogue.RULES``."""
    layer: str
    """Layer, block or parameter to look at first; ``""`` for the whole model."""
    layers: tuple[str, ...] = ()
    """All layers, blocks and parameters it is about."""
    title: str
    """One sentence: ``"Gradients vanish: conv1 gets 3,100 times less than fc (steps 40-140)"``."""
    evidence: str
    """The newest numbers and their step."""
    remedy: str
    """One thing to try."""
    severity: str
    """``"problem"`` or ``"hint"``."""
    since_step: int
    """Step of the first observation that showed it; of several layers, in all of them."""
    last_step: int
    """Step of the newest observation that showed it."""
    active: bool = True
    """False: taken back."""

    def event(self, cause: Event) -> FindingRaised:
        """Return what to publish, with the position of the event that led to it."""
        return FindingRaised(
            step=cause.step,
            forward=cause.forward,
            micro=cause.micro,
            elapsed_s=cause.elapsed_s,
            phase=cause.phase,
            rule=self.rule,
            layer=self.layer,
            title=self.title,
            evidence=self.evidence,
            remedy=self.remedy,
            severity=self.severity,
            since_step=self.since_step,
            active=self.active,
        )
