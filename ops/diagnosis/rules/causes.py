"""The registry of causes: a rule each, or a row for a cause that another package finds.

    @cause(
        "health_path_wrong",
        layer="target",
        symptoms="Targets are unhealthy with codes such as 404; the tasks run.",
        cure="Correct the path of the target group's health check, or serve it.",
        explains=("target_unhealthy", "page_failing"),
    )
    def health_path_wrong(incident: Incident) -> Iterator[Candidate]:
        ...

Names are a contract: JSON documents, docs and scripts use them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ops.diagnosis.facts import Incident
from ops.diagnosis.model import Candidate

Layer = Literal[
    "access",  # credentials, account, permissions of the operator
    "lock",  # Terraform's state lock, our own locks
    "capacity",  # Fargate, network interfaces, addresses, quotas
    "network",  # subnets, routes, endpoints, security groups
    "database",
    "release",  # what was rolled out, and who took it back
    "image",
    "secret",
    "role",
    "container",
    "target",  # target groups and their health checks
    "balancer",  # listeners, rules, time-outs
    "cdn",
    "certificate",
    "page",
    "log",
]
LAYERS: tuple[Layer, ...] = (
    "access",
    "lock",
    "database",
    "capacity",
    "network",
    "image",
    "secret",
    "role",
    "container",
    "release",
    "target",
    "balancer",
    "cdn",
    "certificate",
    "page",
    "log",
)  # in the order in which root causes of equal confidence are reported
_TAKEN_BACK = "rollout_reverted_by_breaker"
# layers whose causes keep the tasks of one rollout from starting or getting healthy
_OF_TASKS = ("capacity", "network", "image", "secret", "role", "container", "target", "log")
Rule = Callable[[Incident], Iterable[Candidate]]


@dataclass(frozen=True)
class CauseInfo:
    """What is known of a cause beside its rule; `docs/findings.md` is gathered from it.

    `explains`: names of causes that follow from it, of the same service, or of any service if it
    affects the whole platform. A name that ends in `*` stands for all names that begin so.
    """

    name: str
    layer: Layer
    symptoms: str
    cure: str
    explains: tuple[str, ...] = ()

    def explains_cause(self, name: str) -> bool:
        fails_tasks = "service_unsteady" in self.explains and self.layer in _OF_TASKS
        if name == _TAKEN_BACK and fails_tasks:
            return True  # tasks that fail are why the circuit breaker takes a rollout back
        return any(
            name.startswith(each[:-1]) if each.endswith("*") else name == each
            for each in self.explains
        )


_CAUSES: dict[str, CauseInfo] = {}
_RULES: dict[str, Rule] = {}


def cause(
    name: str, *, layer: Layer, symptoms: str, cure: str, explains: tuple[str, ...] = ()
) -> Callable[[Rule], Rule]:
    """Register a rule that finds this cause. Raises ValueError for a name that is taken."""

    def register(rule: Rule) -> Rule:
        known_cause(name, layer=layer, symptoms=symptoms, cure=cure, explains=explains)
        _RULES[name] = rule
        return rule

    return register


def known_cause(
    name: str, *, layer: Layer, symptoms: str, cure: str, explains: tuple[str, ...] = ()
) -> None:
    """Register a cause that checks or stop reasons find (`ops.diagnosis.rules.from_checks`)."""
    if name in _CAUSES:
        raise ValueError(f"the cause {name} is registered twice")
    _CAUSES[name] = CauseInfo(name, layer, symptoms, cure, explains)


def registered() -> Mapping[str, CauseInfo]:
    return _CAUSES


def rules() -> Mapping[str, Rule]:
    return _RULES


def layer_of(name: str) -> Layer:
    """The layer of a cause; "container" for one that is not registered."""
    info = _CAUSES.get(name)
    return info.layer if info else "container"


def candidates(incident: Incident) -> Iterator[tuple[str, Candidate | Exception]]:
    """Yield what every rule finds; an error of a rule is yielded in place of its results."""
    for name, rule in _RULES.items():
        try:
            for each in rule(incident):
                yield name, each
        except Exception as error:  # one defective rule must not hide what the others find
            yield name, error
