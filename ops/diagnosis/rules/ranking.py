"""Order causes: root causes first, each with the consequences that it explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ops.core.findings import Evidence
from ops.diagnosis.model import Candidate, Diagnosed
from ops.diagnosis.rules.causes import LAYERS, layer_of, registered

_OF_THE_PLATFORM = ("access", "lock", "database")  # layers whose causes belong to no service
_CONFIDENCE = ("certain", "likely", "possible")


Identity = tuple[str, str]  # of a candidate: cause and service
Explained = Mapping[Identity, Identity]


Affected = Mapping[str, frozenset[str]]  # layer → the services that its causes can affect


def rank(
    candidates: Iterable[Candidate],
    known: Explained | None = None,
    affected: Affected | None = None,
) -> tuple[Diagnosed, ...]:
    """Merge equal causes, attach consequences to their root causes, and order both.

    `known`: explanations that were found before (of the sweep), used where no cause declares one.
    `affected`: causes of such a layer, of no service, explain nothing of other services. Roots come
    first, the surest first, then by layer; consequences follow, in the order of their roots.
    """
    merged = sorted(merge(candidates), key=_order)
    present = {each.identity for each in merged}
    explained = _without_cycles(
        {
            each.identity: reason
            for each in merged
            if (
                reason := _explanation(each, merged, affected or {})
                or (known or {}).get(each.identity)
            )
            in present
            and reason is not None
        }
    )
    roots = [each for each in merged if each.identity not in explained]
    found = [Diagnosed(each, consequences=_consequences(each, merged, explained)) for each in roots]
    return (
        *found,
        *(
            Diagnosed(each, explained_by=_root(each, explained)[0])
            for root in found
            for each in root.consequences
        ),
    )


def merge(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Merge candidates of the same cause and service, with all their evidence, counted if equal.

    A cause of the database or of access is one, whichever service noticed it.
    """
    found: dict[Identity, list[Candidate]] = {}
    every = tuple(candidates)
    general = {each.finding.cause for each in every if not each.service}
    for each in sorted(every, key=lambda candidate: bool(candidate.service)):
        cause = each.finding.cause
        affected = layer_of(cause) in _OF_THE_PLATFORM and cause in general
        found.setdefault((cause, "" if affected else each.service), []).append(each)
    return tuple(map(_merge, found.values()))


def _merge(same: Sequence[Candidate]) -> Candidate:
    best = min(same, key=lambda each: _CONFIDENCE.index(each.finding.confidence))
    evidence = fold(item for each in same for item in each.finding.evidence)
    fixes = tuple(dict.fromkeys(command for each in same for command in each.finding.fix))
    finding = replace(best.finding, evidence=evidence, fix=fixes)
    return replace(best, finding=finding, service=same[0].service)


def fold(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Equal evidence once, with its count."""
    found: dict[tuple[str, str], Evidence] = {}
    for each in evidence:
        key = each.source, each.text
        known = found.get(key)
        found[key] = replace(known, count=known.count + each.count) if known else each
    return tuple(found.values())


def _order(candidate: Candidate) -> tuple[int, int, str, str]:
    finding = candidate.finding
    layer = LAYERS.index(layer_of(finding.cause))
    return _CONFIDENCE.index(finding.confidence), layer, finding.cause, candidate.service


def _explanation(
    below: Candidate, every: Sequence[Candidate], affected: Affected
) -> Identity | None:
    """The identity of the first candidate that explains this one."""
    return next(
        (
            each.identity
            for each in every
            if each.identity != below.identity and _explains(each, below, affected)
        ),
        None,
    )


def _explains(above: Candidate, below: Candidate, affected: Affected) -> bool:
    info = registered().get(above.finding.cause)
    if info is None or not info.explains_cause(below.finding.cause):
        return False
    if above.service and below.service:
        return above.service == below.service
    services = affected.get(info.layer)
    return not below.service or services is None or below.service in services


def _without_cycles(explained: Explained) -> Explained:
    """Drop the explanations that would lead back to where they start."""
    found: dict[Identity, Identity] = {}
    for below, above in explained.items():
        at: Identity | None = above
        while at is not None and at != below:
            at = found.get(at)
        if at is None:
            found[below] = above
    return found


def _root(candidate: Candidate, explained: Explained) -> Identity:
    at = candidate.identity
    while at in explained:
        at = explained[at]
    return at


def _consequences(
    root: Candidate, every: Sequence[Candidate], explained: Explained
) -> tuple[Candidate, ...]:
    return tuple(
        each
        for each in every
        if each.identity in explained and _root(each, explained) == root.identity
    )
