"""FindingsPanel: what is wrong with a training, one card each; the cockpit's Findings tab."""

from typing import Any

from torch import nn

from nbtorchviz.session import Session, as_session
from nbtorchviz.session.linking import LINKED
from nbtorchviz.widgets.base import BUNDLE, ObserverWidget, refuse_unknown
from nbtorchviz.widgets.findings_state import findings_state


class FindingsPanel(ObserverWidget):
    """Lists the findings of a session: severity, sentence, evidence, remedy, layer, since when.

    "Show me" takes the other widgets of the session to the layer.

    Args:
        model_or_session: a model, or the session that ``watch(model)`` returned.

    Raises:
        TypeError: the first argument is neither, or an unknown keyword.
    """

    _esm = BUNDLE.with_name("findings.js")

    def __init__(self, model_or_session: nn.Module | Session, **unknown: Any) -> None:
        compact = bool(unknown.pop("_compact", False))
        refuse_unknown("FindingsPanel", unknown, ())
        session = as_session(model_or_session, "FindingsPanel")
        super().__init__(session, kind="findings-panel", options={"compact": compact})

    def summary(self) -> str:
        """Return the sentences, the worst first, as stable text."""
        state = findings_state(self.session)
        title = f"Findings of {self.session.model_name}"
        if not state["findings"]:
            return f"{title}: {'none' if state['judged'] is not None else 'no step yet'}"
        return "\n  ".join([f"{title}:", *(each["title"] for each in state["findings"])])

    def _on_intent(self, name: str, value: Any) -> None:
        if name in LINKED:
            self.session.linking.tell(self.owner, {name: value})

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "gradients": findings_state(self.session)}
