"""Examples for the help pages; a test parses each of them."""

from __future__ import annotations

_EXAMPLES = {
    "preflight": ("preflight", "preflight --service backend", "preflight --skip secrets"),
    "status": ("status", "--env dev status --json"),
    "SERVICE.build": ("SERVICE.build --plan", "SERVICE.build"),
    "SERVICE.push": ("SERVICE.push --plan", "SERVICE.push"),
    "SERVICE.deploy": (
        "SERVICE.deploy --plan",
        "SERVICE.deploy",
        "SERVICE.deploy --tag 1a2b3c4 --follow",
        "--env prod SERVICE.deploy --yes --json",
    ),
    "SERVICE.restart": ("SERVICE.restart --plan", "SERVICE.restart --timeout 10m"),
    "SERVICE.scale": ("SERVICE.scale --count 3 --plan", "SERVICE.scale --count 3"),
    "SERVICE.watch": ("SERVICE.watch", "SERVICE.watch --follow --timeout 10m"),
    "SERVICE.rollback": (
        "SERVICE.rollback --plan",
        "SERVICE.rollback",
        "SERVICE.rollback --to 1a2b3c4",
    ),
    "SERVICE.releases": (
        "SERVICE.releases --limit 5",
        "SERVICE.releases --verdict rolled_back --since 7d",
        "SERVICE.releases --diff 1a2b3c4 5d6e7f8",
    ),
    "SERVICE.status": ("SERVICE.status", "SERVICE.status --watch"),
    "SERVICE.logs": (
        "SERVICE.logs --since 1h --grep /error/i",
        "SERVICE.logs --follow",
        "SERVICE.logs --task 0f20f6ad --json",
    ),
    "SERVICE.run": (
        "SERVICE.run --command 'python manage.py check' --plan",
        "SERVICE.run --command 'python manage.py check' --timeout 10m",
    ),
    "SERVICE.exec": (
        "SERVICE.exec --command sh",
        "SERVICE.exec --command 'ps aux' --task 0f20f6ad",
    ),
    "cdn.invalidate": ("cdn.invalidate --paths '/about' --plan", "cdn.invalidate --yes"),
    "db.upgrade": ("db.upgrade --plan", "db.upgrade", "db.upgrade --to 0003"),
    "db.downgrade": ("db.downgrade --plan", "db.downgrade --to 0002"),
    "db.adopt": ("db.adopt --plan", "db.adopt"),
    "db.sql": ("db.sql", "db.sql --downgrade --to base"),
    "db.snapshot": ("db.snapshot --plan", "db.snapshot --name before-release"),
    "db.revision": (
        "db.revision 'Add a column for the author'",
        "db.revision 'Add the table of authors' --autogenerate",
    ),
    "db.verify": ("db.verify", "db.verify --postgres-version 15"),
    "db.tunnel": ("db.tunnel", "db.tunnel --timeout 1h"),
    "db.lint": ("db.lint", "db.lint --revision 0003"),
    "env.show": ("env.show", "--env dev env.show --key database"),
    "env.check": ("env.check", "env.check --json"),
    "env.schema": ("env.schema --output invoke.schema.json",),
    "health.all": (
        "health.all",
        "health.all --skip terraform --json",
        "health.all --watch 5",
        "health.all --save before.json",
    ),
    "lock.release": ("lock.status", "lock.release --name backend"),
    "tf.apply": ("tf.plan", "tf.apply --plan", "tf.apply"),
    "tf.unlock": ("tf.locks", "tf.unlock --id 5f0c1b1e"),
    "troubleshoot.all": (
        "troubleshoot.all",
        "troubleshoot.all --fix",
        "troubleshoot.all --save evidence",
    ),
    "sandbox.up": ("sandbox.up", "sandbox.up --engine docker"),
    "sandbox.down": ("sandbox.down", "sandbox.down --purge"),
    "sandbox.break": ("sandbox.faults", "sandbox.break page-500"),
    "sandbox.mend": ("sandbox.mend page-500", "sandbox.mend --all"),
    "dev.test": ("dev.test", "dev.test --select 'watch and not real'"),
}


def examples_of(path: str) -> tuple[str, ...]:
    """Command lines of a task, without the program's name."""
    space, _, name = path.rpartition(".")
    if path in _EXAMPLES:
        return _EXAMPLES[path]
    of_service = _EXAMPLES.get(f"SERVICE.{name}", ())
    if space and of_service and (space, name) not in _OTHERS:
        return tuple(each.replace("SERVICE", space) for each in of_service)
    return (path,)


_OTHERS = (("cdn", "status"), ("lock", "status"), ("sandbox", "status"), ("health", "logs"))
