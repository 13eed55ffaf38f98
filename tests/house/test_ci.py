"""What `.ci/run` promises to whoever reads its last lines: dev.test's verdict, what was proved
against real parts, and what was not.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDINARY = (
    65534 if os.geteuid() == 0 else None
)  # what root would install is not this test's business
WORKS = "#!/bin/sh\nmkdir -p ${1#-chdir=}/.terraform\n"
INV = """#!/bin/sh
case $* in
    dev.test*) echo "called: $*, required: ${OPS_REQUIRE_REAL:-none}, CI: $CI"; echo "3 passed in 0.10s"; exit TESTS ;;
    sandbox.down) echo "stopped in $PWD" ;;
    *) echo "called: $*, as $(id -u), DOCKER_HOST: ${DOCKER_HOST:-none}"; exit PROMISE ;;
esac
"""


@pytest.fixture
def ran():
    """Runs the real .ci/run, as an ordinary user, over a checkout whose ./inv ends as told."""
    folder = Path(tempfile.mkdtemp(prefix="ci-run-"))

    def run(tests, promise, *words, terraform="", asked=""):
        (folder / ".ci").mkdir()
        shutil.copy2(ROOT / ".ci" / "run", folder / ".ci" / "run")
        (folder / "inv").write_text(
            INV.replace("TESTS", str(tests)).replace("PROMISE", str(promise))
        )
        (folder / "inv").chmod(0o755)
        if terraform:
            (folder / "bin").mkdir()
            (folder / "bin" / "terraform").write_text(terraform)
            (folder / "bin" / "terraform").chmod(0o755)
        for words_of_git in (
            ["init", "-q"],
            ["add", "."],
            ["-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *words_of_git], cwd=folder, check=True)
        if ORDINARY:
            for each in (folder, *folder.rglob("*")):
                os.chown(each, ORDINARY, ORDINARY)
        path = f"{folder}/bin:{os.environ['PATH']}"
        environment = {
            "HOME": "/nonexistent",
            "PATH": path,
            "DOCKER_HOST": "unix:///mine",
            "OPS_REQUIRE_REAL": asked,
        }
        return subprocess.run(
            [folder / ".ci" / "run", *words],
            cwd="/",
            env=environment,
            user=ORDINARY,
            group=ORDINARY,
            extra_groups=[] if ORDINARY else None,
            capture_output=True,
            text=True,
            timeout=60,
        )

    yield run
    shutil.rmtree(folder)


def test_its_main_act_is_dev_test(ran):
    """Options go to dev.test, the closing line of pytest comes last, and the promise runs with
    nothing of this environment.
    """
    done = ran(0, 0, "--select", "watch")
    assert done.returncode == 0, done.stderr
    assert "called: dev.test --select watch, required: none, CI: true" in done.stdout
    assert (
        f"called: sandbox.up backend.deploy, as {ORDINARY or os.geteuid()}, DOCKER_HOST: none"
        in done.stdout
    )
    assert "stopped in " in done.stdout
    assert done.stdout.splitlines()[-1] == "3 passed in 0.10s"


def test_what_was_not_tested_is_named(ran):
    """Without root nothing can be installed: each part that could not be proved stands in the last
    lines.
    """
    said = ran(0, 0).stderr
    assert "ci: real parts required: none" in said
    terraform, packages = [
        line for line in said.splitlines() if line.startswith("ci: not tested: ")
    ]
    for part in ("docker", "registry", "skopeo", "sshd", "netns", "postgres"):
        assert part in packages
    assert terraform.startswith("ci: not tested: terraform: ")


def test_terraform_is_required_where_its_provider_is_here(ran):
    """Where `terraform init` works it is required; the longer half of the deploys is named as left
    out.
    """
    done = ran(0, 0, terraform=WORKS)
    assert "called: dev.test, required: terraform, CI: true" in done.stdout
    assert "ci: not tested: terraform-deploy: " in done.stderr


def test_terraforms_own_reason_is_named_where_it_is_not(ran):
    """A provider that can't be had: Terraform is not required, and the last lines say why."""
    done = ran(
        0,
        0,
        terraform="#!/bin/sh\necho 'Error: Failed to query available provider packages'; exit 1\n",
    )
    assert "required: none" in done.stdout
    assert (
        "ci: not tested: terraform: its provider can't be had here (Failed to query "
        "available provider packages)" in done.stderr
    )


def test_the_long_deploys_are_run_when_they_are_asked_for(ran):
    """OPS_REQUIRE_REAL=terraform-deploy, and nothing of Terraform's is left out."""
    done = ran(0, 0, terraform=WORKS, asked="terraform-deploy")
    assert "required: terraform,terraform-deploy, CI: true" in done.stdout
    assert "not tested: terraform" not in done.stderr


def test_failing_tests_are_its_exit_code(ran):
    """CI is red with dev.test's own code, whatever came after."""
    assert ran(7, 0).returncode == 7


def test_a_broken_promise_is_red_too(ran):
    """Green tests do not hide that a newcomer's first command fails; the sandbox is stopped all the
    same.
    """
    done = ran(0, 4)
    assert done.returncode == 1
    assert "the promise failed" in done.stdout and "stopped in " in done.stdout
