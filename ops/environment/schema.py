"""`inv env.schema`: print or write the JSON Schema of `invoke.yaml` or of an overlay."""

from __future__ import annotations

from pathlib import Path

from ops.core import files
from ops.core.config import schema as schemas
from ops.core.errors import OpsError
from ops.core.result import Report


def schema(*, overlay: bool = False, output: str | None = None) -> Report:
    """The schema as document and text; with `output`, written there.

    Raises OpsError for a file that cannot be written.
    """
    document = schemas.overlay_schema() if overlay else schemas.project_schema()
    text = schemas.as_text(document)
    if output is None:
        return Report(document, text.rstrip("\n"), verbatim=True)
    path = Path(output).expanduser()
    try:
        files.write_atomic(path, text)
    except OSError as error:
        why = error.strerror or str(error)
        raise OpsError(f"--output {output}", why, "name a file in an existing folder") from None
    return Report(document, f"{path}: begin a file with {schemas.modeline(str(path)).strip()}")
