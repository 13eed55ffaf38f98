"""A run on the bastion: started there, watched from here, and indifferent to what happens to the watcher.

A tunnel that breaks leaves locks behind, and one that is slow makes a migration slow; a runner beside the database does neither. What is
agreed to is decided here as ever (`ops.flows.migrate`); only the run itself goes there. A watcher that lost its connection comes back by
itself for a while, then says how to: `inv db.attach`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ops import ui
from ops.adapters import bundle, postgres, remote, ssh
from ops.adapters.postgres import KINDS, Applied, Outcome
from ops.adapters.remote import Prepared
from ops.adapters.ssh import Host, Lost
from ops.errors import Cancelled, Interrupted, OpsError, Refused, Unreachable
from ops.flows import migrate
from ops.flows.migrate import Asked, Done, Place, Planned

RECONNECT_S = 60.0       # how long a watcher tries to come back
PAUSES_S = (0.5, 1.0, 2.0, 5.0)
AUTHORITY_KEY = "sslrootcert"


def run(place: Place, planned: Planned, asked: Asked, say: Callable[[str], None] = ui.say) -> Done:
    """Do what was planned where the environment says: on the bastion, else from here. Raises what the engine means."""
    if place.door.mode != "remote" or not planned.steps:
        return migrate.run(place, planned, asked, say)
    with ssh.connect(place.settings) as host:
        far = prepared(place, host, say)
    if far is None:
        return migrate.run(place, planned, asked, say)
    with Watch.connected(place, far, say) as watch:
        return watch.started(planned, asked)


def prepared(place: Place, host: Host, say: Callable[[str], None]) -> Prepared | None:
    """The bastion with both bundles; None where its Python is too old for them."""
    bastion = place.settings.environment.bastion
    assert bastion is not None       # `connect` has refused otherwise
    places = remote.Places(bastion.python, bastion.cache, place.settings.name)
    python, there = remote.probe(host, places)
    if python.old:
        say(f"{python} on the bastion: migrations need 3.11 or newer there, so this one goes through the tunnel")
        return None
    site, code = bundle.site(place.settings.root, python), bundle.code(Path(place.door.target.folder))
    return remote.prepare(host, places, there, site, code, say)


def question(place: Place, planned: Planned, asked: Asked) -> dict[str, Any]:
    """What the far side is told, by stdin: the password is in it."""
    parameters, authority = dict(place.door.own), None
    named = parameters.get(AUTHORITY_KEY)
    if named and named != "system":
        authority = Path(named).read_text(encoding="utf-8")
    return {
        "parameters": parameters,
        "authority": authority,
        "direction": planned.direction,
        "to": planned.to,
        "shown": list(postgres.heads(planned.at)),
        "accepted": asked.edited,
        "limits": asdict(postgres.limited(place.door, asked.timeout_s, asked.wait_s)),
        "who": asdict(postgres.who(planned.direction)),
    }


@dataclass
class Watch:
    """One run on the bastion, seen from here."""

    place: Place
    far: Prepared
    say: Callable[[str], None]
    host: Host
    id: str = "latest"
    offset: int = 0
    end: dict[str, Any] | None = None

    @classmethod
    def connected(cls, place: Place, far: Prepared, say: Callable[[str], None]) -> Watch:
        return cls(place, far, say, ssh.connect(place.settings))

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *problem: object) -> None:
        self.host.close()

    def started(self, planned: Planned, asked: Asked) -> Done:
        """Start it, and stay until its end."""
        document = question(self.place, planned, asked)
        self.id = document["who"]["run"]
        return self.ended(lambda: self.start(document))

    def start(self, document: dict[str, Any]) -> None:
        """Once more where the connection was lost: its answer may be what was lost, and the same id is not started twice."""
        try:
            remote.start(self.host, self.far, document)
        except Lost:
            self.reconnect()
            remote.start(self.host, self.far, document)
        self.say(f"run {self.id} on {self.host.where}; it goes on without us (inv db.attach)")

    def ended(self, begin: Callable[[], None] = lambda: None) -> Done:
        """Everything it says, then its end: an outcome, or an error as the engine means it."""
        try:
            begin()
            self.follow()
        except KeyboardInterrupt as interruption:
            self.interrupted(interruption)
            raise
        assert self.end is not None
        return Done(outcome(self.end, self), "remote")

    def follow(self) -> None:
        while self.end is None:
            try:
                remote.attach(self.host, self.far, self.id, self.offset, self.tell)
                if self.end is None:
                    raise Lost(f"run {self.id}", "the watcher there ended", "inv db.attach")
            except Lost:
                self.reconnect()

    def tell(self, said: dict[str, Any]) -> None:
        if "missing" in said:
            known = ", ".join(said["known"]) or "none"
            how = "inv db.attach --run ID, or inv db.history"
            raise Refused(f"run {said['missing']} is not known on the bastion", f"known there: {known}", how)
        if "line" in said:
            self.say(said["line"])
        self.offset = said["offset"]
        if "end" in said:
            self.id, self.end = said["run"], said["end"]

    def reconnect(self) -> None:
        """Come back after a lost connection. Raises Unreachable with what to type later."""
        self.host.close()
        self.say("the connection was lost; the run goes on there")
        until, tries = time.monotonic() + RECONNECT_S, 0
        while True:
            time.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries += 1
            try:
                self.host = ssh.connect(self.place.settings)
            except Unreachable as problem:
                if time.monotonic() > until:
                    how = f"inv db.attach --run {self.id}"
                    raise Unreachable(f"run {self.id} is out of sight, and goes on", problem.why, how) from None
                continue
            self.say("connected again")
            return

    def interrupted(self, interruption: KeyboardInterrupt) -> None:
        """Cancel it there, or leave it: a lost terminal leaves it, a person is asked, a program that is stopped means the run."""
        hangup = isinstance(interruption, Interrupted) and interruption.signal_name == "SIGHUP"
        if hangup or (ui.on_terminal() and not wants_cancel()):
            self.say(f"run {self.id} goes on there: inv db.attach --run {self.id}, or inv db.cancel --run {self.id}")
            return
        self.say(self.cancelled())

    def cancelled(self) -> str:
        """Interrupt it there, and wait until it has rolled back; how it ended, in a sentence."""
        if "missing" in remote.cancel(self.host, self.far, self.id):
            return f"run {self.id} was not started"
        self.follow()
        assert self.end is not None
        at = postgres.current(self.place.door) or migrate.BASE
        return f"run {self.id} {self.end['state']}; the database is at {at}"


def wants_cancel() -> bool:
    return ui.ask_on_stderr("cancel it there, or leave it running? [c/L] ").lower().startswith("c")


def outcome(end: dict[str, Any], watch: Watch) -> Outcome:
    """A run's end as a value, or as the error that it is."""
    state = end["state"]
    if state == "succeeded":
        found = end["outcome"]
        return Outcome(found["before"], found["after"], tuple(Applied(**each) for each in found["applied"]), found["run"])
    if state == "failed":
        error = end["error"]
        raise KINDS[error["kind"]](error["what"], error["why"], error["next"])
    at = postgres.current(watch.place.door) or migrate.BASE
    if state == "cancelled":
        raise Cancelled(f"run {watch.id} was cancelled", f"what was at work is rolled back; the database is at {at}", "inv db.current")
    working = postgres.at_work(watch.place.door, watch.id)
    still = f"its server process {working[0]} still works" if working else "nothing of it works in the database any more"
    why = f"{still}; the database is at {at}"
    raise OpsError(f"run {watch.id} is lost: its runner was killed", why, "inv db.current, then run it again")


def attach(place: Place, id: str, say: Callable[[str], None] = ui.say) -> Done:
    """Watch a run (`latest`: the newest) from its beginning to its end."""
    with watching(place, id, say) as watch:
        return watch.ended()


def cancel(place: Place, id: str, say: Callable[[str], None] = ui.say) -> dict[str, Any]:
    """Interrupt a run, and wait until it has rolled back."""
    with watching(place, id, say) as watch:
        said = watch.cancelled()
        say(said)
        return {"run": watch.id, "state": (watch.end or {}).get("state"), "said": said}


def watching(place: Place, id: str, say: Callable[[str], None]) -> Watch:
    if place.door.mode != "remote":
        how = f"environments.{place.settings.name}.database.run is {place.door.mode}"
        raise Refused("there are no runs to come back to", f"{how}: a run ends with the command that started it", "inv db.history")
    with ssh.connect(place.settings) as host:
        far = prepared(place, host, say)
    if far is None:
        raise Refused("there are no runs to come back to", "the bastion's Python is too old to run any", "inv db.history")
    return replace(Watch.connected(place, far, say), id=id)
