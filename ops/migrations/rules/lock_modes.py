"""PostgreSQL's table lock modes and what each of them blocks ("Explicit Locking")."""

from __future__ import annotations

ACCESS_EXCLUSIVE, EXCLUSIVE, SHARE, SHARE_ROW = (
    "ACCESS EXCLUSIVE",
    "EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
)
SHARE_UPDATE, ROW_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE", "ROW EXCLUSIVE"
BLOCKS = {
    ACCESS_EXCLUSIVE: "blocks reads and writes",
    EXCLUSIVE: "blocks writes",
    SHARE_ROW: "blocks writes",
    SHARE: "blocks writes",
    SHARE_UPDATE: "blocks other changes of the schema",
    ROW_EXCLUSIVE: "blocks changes of the schema",
}
STRENGTH = (ROW_EXCLUSIVE, SHARE_UPDATE, SHARE, SHARE_ROW, EXCLUSIVE, ACCESS_EXCLUSIVE)
LOCK_MODES = {
    3: ROW_EXCLUSIVE,
    4: SHARE_UPDATE,
    5: SHARE,
    6: SHARE_ROW,
    7: EXCLUSIVE,
    8: ACCESS_EXCLUSIVE,
}  # lockdefs.h; 1 and 2 block no statement that matters here
