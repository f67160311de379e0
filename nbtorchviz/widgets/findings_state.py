"""What views show of the findings of a session: JSON values only."""

from dataclasses import asdict
from typing import Any

from nbtorchviz.analysis.findings.catalogue import RULES
from nbtorchviz.session import Session
from nbtorchviz.session.nonfinite import RULE, remedy_of

MOST_FINDINGS = 20


def findings_state(session: Session) -> dict[str, Any]:
    """Return the findings, the first NaN before them, and the newest step that rules looked at."""
    found = [asdict(finding) for finding in session.diagnosis.findings[:MOST_FINDINGS]]
    report = session.first_nonfinite
    if report is not None:
        first: dict[str, Any] = {
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
        found.insert(0, first)
    newest = session.statistics.newest_parameters or session.statistics.newest_layers
    judged = None if newest is None else newest.step
    return {"findings": found, "rules": len(RULES), "judged": judged}
