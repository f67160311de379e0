"""Conditions that users write as a function of the facts."""

import inspect
import math
from collections.abc import Callable

from nbtorchviz.analysis.condition_facts import LAYER_FUNCTIONS, is_pattern
from nbtorchviz.analysis.condition_numbers import number_text
from nbtorchviz.analysis.condition_truths import Found
from nbtorchviz.analysis.conditions import Reading
from nbtorchviz.arguments import named_layer
from nbtorchviz.errors import ConditionError
from nbtorchviz.session.breakpoint_needs import Needs


class FactsView:
    """What a callable condition is given: facts to read. NaN stands for "not known yet".

    What is asked for is recorded from the next step on.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.asked: dict[tuple[str, str], float] = {}
        """By (function, name)."""
        self.rules: list[str] = []

    @property
    def step(self) -> int:
        """Optimizer steps finished."""
        return self._reading.facts.step()

    @property
    def epoch(self) -> float:
        """The last epoch that was logged."""
        return self._ask("epoch", "")

    @property
    def lr(self) -> float:
        """The learning rate, the largest of all parameter groups."""
        return self._ask("lr", "")

    @property
    def layers(self) -> tuple[str, ...]:
        """The layer keys."""
        return self._reading.facts.layers()

    def metric(self, name: str) -> float:
        """Return the value that was logged last."""
        return self._ask("metric", name)

    def best(self, name: str) -> float:
        """Return the best value that was logged."""
        return self._ask("best", name)

    def previous(self, name: str) -> float:
        """Return the value that was logged before the last one."""
        return self._ask("previous", name)

    def layer(self, statistic: str, layer: str) -> float:
        """Return one of the functions of the expression language: ``layer("mean", "conv1")``.

        Raises:
            ConditionError: no such statistic, or ``layer`` is a pattern.
            TypeError: ``layer`` is no text.
        """
        if statistic not in LAYER_FUNCTIONS:
            accepted = ", ".join(LAYER_FUNCTIONS)
            raise ConditionError(f"There is no statistic {statistic!r}. Accepted: {accepted}.")
        if is_pattern(named_layer(layer)):
            raise ConditionError(
                f"layer() takes one layer, got the pattern {layer!r}; loop over facts.layers."
            )
        return self._ask(statistic, layer)

    def grad_norm(self, layer: str = "") -> float:
        """Return the norm of the gradient; without a layer that of the whole model."""
        return self.layer("grad_norm", layer)

    def finding(self, rule: str, layer: str = "") -> bool:
        """Tell whether a finding is active, at ``layer`` or anywhere; both may be patterns."""
        found = Found(rule, named_layer(layer), "")
        self.rules.append(rule)
        return found.truth(self._reading)

    def _ask(self, function: str, name: str) -> float:
        value = self._reading.value(function, name)
        self.asked[function, name] = math.nan if value is None else value
        return self.asked[function, name]


class CallableCondition:
    """A function of the facts; what it asks for is what it needs.

    Args:
        function: called with a ``FactsView`` at every step; true pauses, a text is the reason.

    Raises:
        TypeError: it does not take one argument.
    """

    def __init__(self, function: Callable[[FactsView], object]) -> None:
        try:
            inspect.signature(function).bind(None)
        except TypeError as error:
            raise TypeError(
                "A callable condition takes one argument, the facts, such as "
                f"lambda facts: facts.metric('loss') > 5; this one does not ({error})."
            ) from None
        except ValueError:
            pass  # written in C, without a signature
        self._function = function
        self._why = ""
        name = getattr(function, "__name__", type(function).__name__)
        self.text = "your function" if name == "<lambda>" else f"{name}()"
        self.needs = Needs()

    def truth(self, reading: Reading) -> bool:
        """Ask the function."""
        view = FactsView(reading)
        result = self._function(view)
        self.needs |= Needs.of(view.asked, view.rules)
        if isinstance(result, float) and math.isnan(result):
            return False
        told = ", ".join(_told(*fact) for fact in view.asked.items())
        self._why = f"{self.text} is true" + (f" ({told})" if told else "")
        if isinstance(result, str):
            self._why = result
        return bool(result)

    def why(self, reading: Reading) -> str:
        """Say what it was when it was asked last."""
        return self._why


def _told(asked: tuple[str, str], value: float) -> str:
    function, name = asked
    text = name if function == "metric" else f"{function}({name})"
    return f"{text} = {number_text(value)}"
