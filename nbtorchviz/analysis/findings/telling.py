"""Turns what is raised into sentences: consequences left out, layers gathered into blocks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nbtorchviz.analysis.findings.catalogue import RULES, About, Rule
from nbtorchviz.analysis.findings.facts import ModelFacts
from nbtorchviz.analysis.findings.finding import Finding
from nbtorchviz.analysis.findings.latch import Latch
from nbtorchviz.analysis.findings.names import collapse, is_norm, layer_of
from nbtorchviz.analysis.findings.words import listed, plural, steps

MOST_LAYERS = 64
"""Layers a finding lists beside its sentence."""

Raised = tuple[str, Latch]
"""Layer, parameter or metric, and the latch that is raised there."""


def sentences(
    raised: Iterable[Raised], facts: ModelFacts, leads: Mapping[str, str]
) -> Iterator[Finding]:
    """Write the findings of all raised latches, in no particular order.

    Args:
        raised: all of them.
        facts: about the model.
        leads: rule -> layer that its sentence about several layers named first so far.
    """
    by_rule: dict[str, list[Raised]] = {}
    for subject, latch in raised:
        by_rule.setdefault(latch.rule.name, []).append((subject, latch))
    for name, places in by_rule.items():
        rule = RULES[name]
        if not rule.explained_by.isdisjoint(by_rule):
            continue
        if rule.about in (About.LAYERS, About.PARAMETERS):
            yield _gathered(rule, places, facts, leads.get(name))
        elif rule.about is About.LAYER:
            yield from (_told(rule, latch, [subject], subject) for subject, latch in places)
        else:
            places.sort(key=lambda place: (place[1].since_step, place[0]))
            _, latch = places[0]
            yield _told(rule, latch, [latch.layer], "")


_PLACE = {name: place for place, name in enumerate(RULES)}


def sort_key(finding: Finding) -> tuple[bool, int, int, str]:
    """Sort problems before hints, causes before consequences, the older first."""
    hint = finding.severity != "problem"
    return (hint, _PLACE[finding.rule], finding.since_step, finding.layer)


def _gathered(rule: Rule, places: list[Raised], facts: ModelFacts, lead: str | None) -> Finding:
    latches = dict(places)
    everything = _candidates(rule, facts)
    if rule.about is About.PARAMETERS:
        order = {name: place for place, name in enumerate(everything)}
        ill = sorted(latches, key=lambda name: (order.get(name, len(order)), name))
        groups = _by_layer(collapse(ill, everything), everything)
        names = list(groups)
    else:
        ill = facts.in_order(sorted(latches))
        groups = collapse(ill, everything)
        names = [_block(name, len(members)) for name, members in groups.items()]
    whole = [name or "the whole model" for name in names]
    return _told(
        rule,
        latches[ill[0]],
        [_lead(list(groups), ill, lead), *groups],
        listed(whole),
        since=max(latch.since_step for latch in latches.values()),  # true of all that are named
        last=max(latch.told[1] for latch in latches.values()),
        others=len(ill) - 1,
    )


def _candidates(rule: Rule, facts: ModelFacts) -> Sequence[str]:
    """List everything the rule could have found ill, so that "all of a block" can be said."""
    if rule.about is About.PARAMETERS:
        return facts.parameters
    if rule.name == "eval_mode":
        return facts.two_moded
    judged = sorted(facts.owners - facts.frozen)
    if rule.name == "update_too_small":
        return [layer for layer in judged if not is_norm(facts.kind(layer))]
    return judged


def _block(name: str, members: int) -> str:
    return f"{name} ({plural(members, 'layer')})" if name and members > 1 else name


def _lead(groups: list[str], ill: list[str], before: str | None) -> str:
    """Keep the layer a finding is filed under as long as anything in it or around it is ill."""
    if before is not None:
        inside = any(before in ("", name) or name.startswith(f"{before}.") for name in ill)
        around = any(group == "" or before.startswith(f"{group}.") for group in groups)
        if inside or around:
            return before
    return groups[0]


def _by_layer(groups: dict[str, list[str]], everything: Sequence[str]) -> dict[str, list[str]]:
    """Name the layer instead of its only parameter."""
    siblings = Counter(layer_of(parameter) for parameter in everything)
    return {
        layer_of(name) if len(members) == 1 and siblings[layer_of(name)] == 1 else name: members
        for name, members in groups.items()
    }


def _told(
    rule: Rule,
    latch: Latch,
    layers: list[str],
    who: str,
    *,
    since: int | None = None,
    last: int | None = None,
    others: int = 0,
) -> Finding:
    verdict, step = latch.told
    since = latch.since_step if since is None else since
    last = step if last is None else last
    claim = verdict.claim.replace("{who}", who)
    more = f"; the same in {others} more" if others else ""
    return Finding(
        rule=rule.name,
        layer=layers[0],
        layers=tuple(dict.fromkeys(name for name in layers if name))[:MOST_LAYERS],
        title=f"{claim} ({steps(since, last)})" if last else claim,
        evidence=f"{steps(step, step).capitalize()}: {verdict.evidence}{more}.",
        remedy=verdict.remedy or (since <= 1 and rule.remedy_from_start) or rule.remedy,
        severity=rule.severity,
        since_step=since,
        last_step=last,
    )
