"""What a real engine calls its images, in one answer: `images.list` asks for each once more, and
other tests remove theirs meanwhile.
"""

from __future__ import annotations

from typing import Any


def names(real: Any) -> dict[str, str]:
    """Each tag and digest there, with its image's id."""
    return {
        name: row["Id"]
        for row in real.api.images()
        for name in (*(row["RepoTags"] or ()), *(row["RepoDigests"] or ()))
    }
