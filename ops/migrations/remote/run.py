"""A run on the bastion: started there, watched from here, and indifferent to what happens to the
watcher.

A tunnel that breaks leaves locks behind, and one that is slow makes a migration slow; a runner
beside the database does neither. What is agreed to is decided here as ever (`ops.migrations.plan`);
only the run itself goes there. A watcher that lost its connection comes back by itself for a while,
then says how to: `inv db.attach`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from ops.core import ui
from ops.core.errors import Cancelled, Interrupted, OpsError, Refused, Unreachable
from ops.core.retry import pauses_within, retry
from ops.core.text import format_error
from ops.migrations import plan
from ops.migrations.plan import MigrationPlan, MigrationTarget, RunOptions, RunResult
from ops.migrations.remote import bastion as migrations_bastion
from ops.migrations.remote import bundle, result
from ops.migrations.remote.bastion import BastionEnvironment
from ops.migrator.revisions.interrupts import STOP_S
from ops.postgres import access
from ops.postgres.access import DatabaseAccess
from ops.ssh import connection
from ops.ssh.connection import ConnectionLost, Host

RECONNECT_S = 60.0  # how long a watcher tries to come back
PAUSES_S = (0.5, 1.0, 2.0, 5.0)
AUTHORITY_KEY = "sslrootcert"


def run(
    place: MigrationTarget,
    planned: MigrationPlan,
    asked: RunOptions,
    say: Callable[[str], None] = ui.progress,
) -> RunResult:
    """Do what was planned where the environment says: on the bastion, else from here. Raises what
    the engine means.
    """
    if place.door.mode != "remote":
        return plan.run(place, planned, asked, say)
    if not planned.steps:  # the engine has a look, which is a read
        return replace(plan.run(place, planned, asked, say), mode=place.door.mode)
    with connection.connect(place.settings) as host:
        far = prepared(place, host, say)
        if far is not None:
            with RemoteRun(place, far, say, host) as watch:
                return watch.started(planned, asked)
    return plan.run(place, planned, asked, say)


def prepared(
    place: MigrationTarget, host: Host, say: Callable[[str], None]
) -> BastionEnvironment | None:
    """The bastion with both bundles; None where its Python is too old for them."""
    there = bastion_paths(place)
    python, known = migrations_bastion.probe(host, there)
    if python.old:
        say(
            f"{python} on the bastion: migrations need 3.11 or newer there, so this one "
            f"goes through the tunnel"
        )
        return None
    site, code = (
        bundle.site(place.settings.root, python),
        bundle.code(Path(place.door.target.folder)),
    )
    return migrations_bastion.prepare(host, there, known, site, code, say)


def bastion_paths(place: MigrationTarget) -> migrations_bastion.BastionPaths:
    bastion = place.settings.environment.bastion
    assert bastion is not None  # `connect` has refused otherwise
    return migrations_bastion.BastionPaths(bastion.python, bastion.cache, place.settings.name)


def start_message(
    place: MigrationTarget, planned: MigrationPlan, asked: RunOptions
) -> dict[str, Any]:
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
        "shown": list(access.split_heads(planned.at)),
        "accepted": asked.accept_edit,
        "redact": "ops.core.redaction.redact:redacted",
        "limits": asdict(access.effective_limits(place.door, asked.timeout_s, asked.wait_s)),
        "who": asdict(access.run_identity(planned.direction)),
    }


@dataclass
class RemoteRun:
    """One run on the bastion, seen from here."""

    place: MigrationTarget
    far: BastionEnvironment
    say: Callable[[str], None]
    host: Host
    id: str = "latest"
    offset: int = 0
    end: dict[str, Any] | None = None
    begun: bool = True

    def __enter__(self) -> RemoteRun:
        return self

    def __exit__(self, *problem: object) -> None:
        self.host.close()

    def started(self, planned: MigrationPlan, asked: RunOptions) -> RunResult:
        """Start it, and stay until its end."""
        document = start_message(self.place, planned, asked)
        self.id, self.begun = document["who"]["run"], False
        return self.ended(lambda: self.start(document))

    def start(self, document: dict[str, Any]) -> None:
        """The same id is not started twice."""
        self.twice(lambda: migrations_bastion.start(self.host, self.far, document))
        self.begun = True
        self.say(f"run {self.id} on {self.host.where}; it goes on without us (inv db.attach)")

    def twice(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Once more where the connection was lost: the answer may be what was lost."""
        try:
            return ask()
        except ConnectionLost:
            self.reconnect()
            return ask()

    def ended(self, begin: Callable[[], None] = lambda: None) -> RunResult:
        """Everything it says, then its end: an outcome, or an error as the engine means it. Raises
        Cancelled where we are told to go.
        """
        try:
            begin()
            self.follow()
        except KeyboardInterrupt as interruption:
            raise self.interrupted(interruption) from None
        return RunResult(result.outcome(self.id, self.ending(), self.database), "remote")

    def follow(self) -> None:
        while self.end is None:
            try:
                migrations_bastion.attach(self.host, self.far, self.id, self.offset, self.tell)
                if self.end is None:
                    raise ConnectionLost(
                        f"run {self.id}", "the watcher there ended", "inv db.attach"
                    )
            except ConnectionLost:
                self.reconnect()

    def tell(self, said: dict[str, Any]) -> None:
        if "missing" in said:
            raise unknown(said)
        if "line" in said:
            self.say(self.place.door.target.hide(said["line"]))  # a revision prints what it likes
        self.id, self.offset = (
            said.get("run", self.id),
            said["offset"],
        )  # from here on, `latest` is this one
        self.end = said.get("end")

    def ending(self) -> dict[str, Any]:
        assert self.end is not None  # `follow` has come to it
        return self.end

    @contextmanager
    def database(self) -> Iterator[DatabaseAccess]:
        """By the connection that brought the news: the tunnel that was opened first may have died
        on the way.
        """
        with access.through_bastion(self.place.door, self.host) as door:
            yield door

    def reconnect(self) -> None:
        """Come back after a lost connection. Raises what is in the way (a host key too), with the
        run's name and what to type later.
        """
        self.host.close()
        self.say("the connection was lost; the run goes on there")
        pauses = pauses_within(chain(PAUSES_S[1:], repeat(PAUSES_S[-1])), RECONNECT_S)
        time.sleep(PAUSES_S[0])
        try:
            self.host = retry(
                lambda: connection.connect(self.place.settings),
                pauses,
                passing=lambda error: isinstance(error, Unreachable),
            )
        except OpsError as problem:
            what, again = (
                f"run {self.id} is out of sight, and goes on",
                f"inv db.attach --run {self.id}",
            )
            first = "" if isinstance(problem, Unreachable) else f"{problem.next}; then: "
            raise type(problem)(what, format_error(problem), first + again) from None
        self.say("connected again")

    def interrupted(self, interruption: KeyboardInterrupt) -> OpsError:
        """Leave it there, or cancel it: a lost terminal leaves it, a person is asked, a program
        that is stopped means the run.
        """
        signal = interruption.signal_name if isinstance(interruption, Interrupted) else "SIGINT"
        leave = signal == "SIGHUP" or (
            signal == "SIGINT" and ui.on_terminal() and not wants_cancel()
        )
        if leave and self.begun:
            how = f"inv db.attach --run {self.id}, or inv db.cancel --run {self.id}"
            return Cancelled(
                f"interrupted by {signal}: nobody watches run {self.id} any more",
                "it goes on there",
                how,
            )
        try:
            ended = self.cancelled()
            return Cancelled(ended.what, ended.why, ended.next)
        except KeyboardInterrupt:
            return Cancelled(
                f"run {self.id} was told to stop",
                "nobody waits for its end any more",
                f"inv db.attach --run {self.id}",
            )

    def cancelled(self) -> OpsError:
        """Interrupt it there, and wait until it has rolled back; how it ended: `Cancelled`, or why
        not.
        """
        answer = self.twice(lambda: migrations_bastion.cancel(self.host, self.far, self.id))
        if "missing" in answer:
            return (
                unknown(answer)
                if self.begun
                else Cancelled(f"run {self.id} was not started", "nothing was done", "run it again")
            )
        self.id = answer["run"]
        if not answer["interrupted"]:
            return Refused(
                "there is nothing to cancel",
                f"run {self.id} is over: {answer['state']}",
                f"inv db.attach --run {self.id}",
            )
        self.say(
            f"run {self.id} is interrupted; it is ended after {STOP_S:g} s if its revision "
            f"ignores that"
        )
        self.follow()
        try:
            result.outcome(self.id, self.ending(), self.database)
        except OpsError as ended:
            return ended
        return Refused(
            f"run {self.id} was not cancelled",
            "it had succeeded by then",
            "inv db.downgrade takes it back",
        )


def unknown(said: dict[str, Any]) -> Refused:
    why = f"known there: {', '.join(said['known']) or 'none'}"
    return Refused(
        f"run {said['missing']} is not known on the bastion",
        why,
        "inv db.attach --run ID, or inv db.history",
    )


def wants_cancel() -> bool:
    """A second Ctrl-C is no answer: what was not asked for is not done."""
    try:
        return (
            ui.read_answer("cancel it there, or leave it running? [c/L] ").lower().startswith("c")
        )
    except KeyboardInterrupt:
        return False


def attach(place: MigrationTarget, id: str, say: Callable[[str], None] = ui.progress) -> RunResult:
    """Watch a run (`latest`: the one at work, else the newest) from its beginning to its end."""
    with watching(place, id, say) as watch:
        return watch.ended()


def cancel(
    place: MigrationTarget, id: str, say: Callable[[str], None] = ui.progress
) -> dict[str, Any]:
    """Interrupt a run, and wait until it has rolled back. Raises Refused where nothing was at work
    (any more), and its own failure.
    """
    with watching(place, id, say) as watch:
        ended = watch.cancelled()
        if not isinstance(ended, Cancelled):
            raise ended
        return {
            "run": watch.id,
            "state": watch.ending()["state"],
            "said": format_error(ended),
        }


def watching(place: MigrationTarget, id: str, say: Callable[[str], None]) -> RemoteRun:
    """Nothing is brought there for it: whoever only reads a log needs no libraries, and no newer
    engine. Raises Refused.
    """
    what = "there are no runs to come back to"
    if place.door.mode != "remote":
        how = f"environments.{place.settings.name}.database.run is {place.door.mode}"
        raise Refused(what, f"{how}: a run ends with the command that started it", "inv db.history")
    host = connection.connect(place.settings)
    try:
        there = bastion_paths(place)
        far = migrations_bastion.known(
            there,
            migrations_bastion.probe(host, there)[1],
            bundle.code(Path(place.door.target.folder)).name,
        )
        if far is None:
            raise Refused(what, f"nothing was ever run on {host.where}", "inv db.history")
    except BaseException:
        host.close()
        raise
    return RemoteRun(place, far, say, host, id)
