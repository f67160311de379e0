"""All rules: how bad, how long an illness must hold, what to try. The numbers are our choice."""

from dataclasses import dataclass
from enum import Enum


class About(Enum):
    """What one verdict of a rule is about, and how many are told."""

    MODEL = "model"
    """The whole model or a logged metric: one sentence."""
    LAYER = "layer"
    """One layer, a sentence for each."""
    LAYERS = "layers"
    """One layer, but one sentence for all of them, by the blocks that hold them."""
    PARAMETERS = "parameters"
    """One parameter, told in one sentence by layers and blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. What makes it speak stands beside its function, in the modules of this package."""

    name: str
    remedy: str
    """One thing to try."""
    remedy_from_start: str = ""
    """In its place where the illness was there at the first step."""
    severity: str = "problem"
    """``"problem"``: training is broken or will be. ``"hint"``: it may be meant so."""
    raise_after: int = 10
    """Observations in a row that must show the illness."""
    enough: int = 0
    """So many suffice where they lie ``over_steps`` steps apart or more; 0: they never do."""
    over_steps: int = 0
    clear_after: int = 5
    """Observations in a row that must show health before it is taken back."""
    about: About = About.MODEL
    explained_by: frozenset[str] = frozenset()
    """Rules of which this one only shows a consequence: it is silent while they speak."""


_IN_ORDER = (
    Rule(
        name="exploding_gradients",
        remedy="Clip before optimizer.step(): "
        "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).",
        raise_after=1,  # one verdict rests on two leaps
    ),
    Rule(
        name="nonfinite_loss",
        remedy="Try a learning rate ten times lower, from fresh weights.",
        raise_after=2,
    ),
    Rule(
        name="nonfinite_gradients",
        remedy="Run one step under torch.autograd.detect_anomaly(): it names the operation.",
        raise_after=2,
    ),
    Rule(
        name="skipped_steps",
        remedy="Use bfloat16 in autocast: its range is that of float32 and needs no GradScaler.",
        # A GradScaler begins at 2**16 and halves at each overflow: 16 skips bring it to 1.
        raise_after=20,
        clear_after=2,
    ),
    Rule(
        name="diverging_loss",
        remedy="Try a learning rate ten times lower.",
        raise_after=5,
    ),
    Rule(
        name="bottomless_loss",
        remedy="Look for a sign that is turned round, or for labels beyond 0 to 1 in a binary "
        "cross-entropy: both make a loss that no weights can end.",
        severity="hint",  # a return, or a score between networks, may have no bound
        raise_after=5,
    ),
    Rule(
        name="dead_relu",
        remedy="Start again with a learning rate ten times lower: a dead ReLU passes no gradient "
        "and does not come back by itself.",
        remedy_from_start="It was so from the first step on: look at the weights and the bias that "
        "the layer before it begins with.",
        # Fast training is looked at once a second: four looks at all zeros, far apart, are more
        # than ten at consecutive steps. What a bad step silenced for a while is back by then.
        enough=4,
        over_steps=100,
        about=About.LAYER,
    ),
    Rule(
        name="constant_output",
        remedy="Look at the first constant layer in ActivationBrowser and at what goes into it.",
        explained_by=frozenset({"dead_relu", "nonfinite_loss"}),
        raise_after=12,  # its cause speaks first
    ),
    Rule(
        name="vanishing_gradients",
        remedy="Put a normalisation layer (nn.BatchNorm2d, nn.LayerNorm) after each hidden layer.",
        explained_by=frozenset({"dead_relu"}),
    ),
    Rule(
        name="eval_mode",
        remedy="Call model.train() before the training loop, and again after each validation.",
        raise_after=3,
        clear_after=2,
        about=About.LAYERS,
    ),
    Rule(
        name="no_optimizer",
        remedy="Make the optimizer from model.parameters(); what is left out on purpose deserves "
        "requires_grad_(False).",
        raise_after=3,
        clear_after=2,
        about=About.PARAMETERS,
    ),
    Rule(
        name="no_step",
        remedy="Call optimizer.step() after loss.backward(), of an optimizer that was made from "
        "this model's parameters().",
        raise_after=3,
        clear_after=1,  # with the first step it is true no longer
    ),
    Rule(
        name="no_gradient",
        remedy="Check that forward() uses it and that nothing between it and the loss is detached "
        "(.detach(), .item(), argmax, torch.no_grad()).",
        clear_after=1,  # with the first gradient it is true no longer
        about=About.PARAMETERS,
    ),
    Rule(
        name="zero_gradient",
        remedy="Look in ActivationBrowser for a layer after it that puts out a constant.",
        raise_after=15,  # its causes speak first
        explained_by=frozenset({"dead_relu", "constant_output"}),
        about=About.LAYERS,
    ),
    Rule(
        name="zero_gradients",
        remedy="Unless the loss is at its end: look for a clamp(), a margin or a saturated output "
        "between the layers and the loss.",
        severity="hint",
        raise_after=15,  # its causes speak first
        clear_after=1,  # with the first gradient it is true no longer
        explained_by=frozenset({"dead_relu", "constant_output"}),
    ),
    Rule(
        name="no_update",
        remedy="Check its learning rate, and that the weights are float32.",
        about=About.LAYERS,
        explained_by=frozenset({"vanishing_gradients"}),
    ),
    Rule(
        name="saturated",
        remedy="Put a normalisation layer (nn.BatchNorm1d, nn.LayerNorm) right before it.",
        about=About.LAYER,
    ),
    Rule(
        name="saturated_states",
        remedy="Try a learning rate ten times lower, or nn.GRU in its place.",
        about=About.LAYER,
    ),
    Rule(
        name="update_too_large",
        remedy="Try a learning rate ten times lower.",
        explained_by=frozenset({"exploding_gradients"}),
        about=About.LAYERS,
    ),
    Rule(
        name="update_too_small",
        remedy="Try a learning rate ten times higher.",
        severity="hint",
        raise_after=20,
        explained_by=frozenset({"vanishing_gradients", "dead_relu", "constant_output"}),
        about=About.LAYERS,
    ),
    Rule(
        name="gradient_stopped",
        remedy="If the model chooses among its parts, look whether it still chooses all; else look "
        "for what leaves it out since then (a condition in forward(), .detach()).",
        severity="hint",
        raise_after=1,  # one verdict rests on a hundred readings
        clear_after=1,
        about=About.PARAMETERS,
    ),
    Rule(
        name="almost_dead_relu",
        remedy="Unless it is meant to be sparse: start again with a learning rate ten times lower, "
        "or try nn.LeakyReLU in its place.",
        severity="hint",
        enough=4,
        over_steps=100,
        explained_by=frozenset({"dead_relu", "dead_channels"}),
        about=About.LAYER,
    ),
    Rule(
        name="dead_channels",
        remedy="Try nn.LeakyReLU in its place: it keeps a slope where ReLU is flat.",
        severity="hint",
        raise_after=5,
        # Longer than the window in which a channel must be zero: one batch that wakes it up once is
        # no recovery.
        clear_after=30,
        explained_by=frozenset({"dead_relu"}),
        about=About.LAYER,
    ),
    Rule(
        name="duplicated_layer",
        remedy="Give each its own start: call reset_parameters() on the copy.",
        severity="hint",
        about=About.LAYERS,
    ),
    Rule(
        name="repeated_layer",
        remedy="Call it once.",
        severity="hint",
        about=About.LAYER,
    ),
)

RULES = {rule.name: rule for rule in _IN_ORDER}
"""Name -> rule, the worst first."""
