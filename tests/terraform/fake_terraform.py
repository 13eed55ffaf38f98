"""A program for PATH in the place of terraform, with its ground: what no AWS on a desk would do, it
says in Terraform's words.

The plan is a recorded one with the image that it was given; `apply` does what its script says, and
every call is written down."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ops.aws import ecs
from ops.core.apply import Journal
from ops.core.plan import Plan
from ops.deploy.context import DeployContext, DeployRequest
from ops.deploy.result import DeployResult
from ops.deploy.rules.steps import (
    ApplyTerraformRollout,
    CheckTerraform,
    LastHealthy,
    PlanTerraformRollout,
)
from ops.deploy.run import run
from ops.ecs import live_display
from ops.platform import Platform
from ops.state import lock
from tests.deploy.test_plan import FACTS, URI
from tests.real.terraform_ground import Ground
from tests.terraform.terraform_plans import definitions, plan, revision

FAMILY = "backend"
PROGRAM = r"""#!{python} -IS
import json, pathlib, signal, sys, time
here = pathlib.Path(__file__).parent
words = [word for word in sys.argv[1:] if word != "-no-color"]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\n")
script = json.loads((here / "script.json").read_text())
def turn(name):
    left = script.get(name) or [[]]
    script[name] = left[1:]
    (here / "script.json").write_text(json.dumps(script))
    return left[0]
if words[0] == "version":
    print(json.dumps({{"terraform_version": "1.11.4"}}))
elif words[:2] == ["state", "pull"]:
    print(json.dumps({{"serial": 3, "lineage": "one"}}))
elif words[0] == "show":
    kind, _, image = pathlib.Path(words[-1]).read_text().partition(" ")
    print((here / f"{{kind}}.json").read_text().replace("IMAGE", image))
elif words[0] in ("plan", "apply"):
    told = turn(words[0])
    if words[0] == "plan" and not told:
        given = [word for word in words if word.startswith("-var=")][0]
        into = [word for word in words if word.startswith("-out=")][0]
        kind = "targeted" if any(word.startswith("-target=") for word in words) else "plan"
        pathlib.Path(into[5:]).write_text(kind + " " + given.partition("=")[2].partition("=")[2])
        sys.exit(2)
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    for each in told:
        if each == "hang":
            while not heard: time.sleep(0.02)
        elif isinstance(each, (int, float)):
            time.sleep(each)
        else:
            print(json.dumps(each), flush=True)
    failed = any(isinstance(each, dict) and each.get("type") == "diagnostic" for each in told)
    sys.exit(1 if failed or heard else 0)
"""


def error(summary: str, detail: str) -> dict[str, Any]:
    """As `-json` prints it."""
    return {
        "@level": "error",
        "type": "diagnostic",
        "diagnostic": {"severity": "error", "summary": summary, "detail": detail},
    }


def done(message: str) -> dict[str, Any]:
    return {"@level": "info", "@message": message, "type": "apply_complete"}


@dataclass
class Scene:
    """A service on moto, a directory of Terraform's, and the program that is found first on
    PATH.
    """

    ground: Ground
    program: Path
    platform: Platform
    old: str

    @classmethod
    def of(cls, root: Path, endpoint: str, **more: Any) -> Scene:
        ground = Ground(root / "checkout", endpoint)
        ground.root.mkdir()
        ground.write(main='terraform {\n  backend "s3" {}\n}\nvariable "image" {}\n')
        service = {"ecs_service": FAMILY, "container": FAMILY, "repository": "davidshaevel/backend"}
        service |= {"image_variable": "image", "image_variable_kind": "uri"}
        state = {"bucket": "states", "prefix": root.name}
        platform = Platform.of(
            ground.settings(services={FAMILY: service}, rollout="terraform", state=state, **more)
        )
        client = platform.cloud.client("ecs")
        client.create_cluster(clusterName="main")
        container = {"name": FAMILY, "image": f"{URI}:old", "memory": 64}
        old = client.register_task_definition(family=FAMILY, containerDefinitions=[container])[
            "taskDefinition"
        ]["taskDefinitionArn"]
        client.create_service(
            cluster="main", serviceName=FAMILY, taskDefinition=old, desiredCount=0
        )
        platform.cloud.client("s3").create_bucket(Bucket="states")
        folder = root / "bin"
        folder.mkdir()
        program = folder / "terraform"
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
        scene = cls(ground, program, platform, old)
        scene.planned()
        return scene

    def planned(self, *rows: dict[str, Any], targeted: bool = False, **keys: Any) -> None:
        """What a plan holds (with -target, if `targeted`), besides the new revision; `keys` are its
        top-level ones.
        """
        moved = revision(definitions(f"{URI}:old"), definitions("IMAGE"), family=FAMILY)
        document = json.dumps({**plan(moved, *rows), **keys})
        for kind in ("targeted",) if targeted else ("plan", "targeted"):
            self.program.with_name(f"{kind}.json").write_text(document)

    def script(self, **turns: list[list[Any]]) -> None:
        """What each further `plan` or `apply` does, in turn: seconds, "hang" until the interrupt,
        or lines. An empty one does well.
        """
        self.program.with_name("script.json").write_text(json.dumps(turns))

    def calls(self, *verbs: str) -> list[list[str]]:
        """What it was asked, of `verbs`."""
        asked = [
            json.loads(line) for line in self.program.with_name("calls").read_text().splitlines()
        ]
        return [words for words in asked if words[0] in verbs]

    def release(self, **request: Any) -> DeployContext:
        """A deploy of abc1234 whose image is pushed already; nobody is asked unless `yes=False`."""
        state = ecs.service(self.platform.cloud, "main", FAMILY)
        found = ecs.task_definition(self.platform.cloud, self.old)
        return DeployContext(
            self.platform,
            FAMILY,
            replace(FACTS, state=state, revision=found),
            DeployRequest(**{"yes": True, **request}),
            live_display.create_display,
            Journal(lambda line: None),
        )

    def run(self, release: DeployContext) -> DeployResult:
        """Terraform's steps of the deploy, up to the watch."""
        image = f"{URI}:abc1234"
        steps = (
            CheckTerraform("image", image),
            PlanTerraformRollout(FAMILY, "image", image),
            ApplyTerraformRollout(image, LastHealthy(self.old), False, FAMILY),
        )
        return run(release, Plan(steps), lock.myself("deploy abc1234", "abc1234"))

    def saved(self) -> list[Path]:
        """Plans that lie about; each may hold secrets."""
        return sorted((self.ground.directory / ".terraform").rglob("*.tfplan"))
