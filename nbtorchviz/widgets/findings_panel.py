"""FindingsPanel: what is wrong with a training, one card each; the cockpit's Findings tab."""

from typing import Any

from torch import nn

from nbtorchviz.session import Session, as_session
from nbtorchviz.session.linking import LINKED
from nbtorchviz.session.nonfinite import RULE, remedy_of
from nbtorchviz.widgets.base import BUNDLE, ObserverWidget, refuse_unknown
from nbtorchviz.widgets.gradient_inspector import gradient_state


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


def findings_state(session: Session) -> dict[str, Any]:
    """Return ``gradient_state`` with the first NaN and the newest step that rules looked at."""
    state, report = gradient_state(session), session.first_nonfinite
    if report is not None:
        first = {
            "rule": RULE,
            "layer": report.layer,
            "layers": (report.layer,) if report.layer else (),
            "title": report.title,
            "evidence": report.text.removeprefix(report.title).strip(),
            "remedy": remedy_of(report),
            "severity": "problem",
            "since_step": report.step,
            "last_step": report.step,
            "active": True,
        }
        state = {**state, "findings": [first, *state["findings"]]}
    newest = session.statistics.newest_parameters or session.statistics.newest_layers
    return {**state, "judged": None if newest is None else newest.step}
