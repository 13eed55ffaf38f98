"""The faults on the operator's side, as the catalog lists them."""

from __future__ import annotations

import socket

from ops.sandbox.faults.account import StateLock
from ops.sandbox.faults.base import Fault
from ops.sandbox.faults.operator.credentials import ExpiredCredentials, WrongClock
from ops.sandbox.faults.operator.locks import LeftDeployLock

_ACCESS = "Pre-Deployment Checklist: Required Access"
_LOCK = "Troubleshooting: Terraform State Lock"
_MINUTES = 20

FAULTS = (
    Fault(
        "credentials-expired",
        _ACCESS,
        "credentials_expired",
        "the session of the operator's credentials has expired",
        ExpiredCredentials(),
        "the operator's key",
    ),
    Fault(
        "clock-wrong",
        _ACCESS,
        "clock_wrong",
        f"the operator's clock is {_MINUTES} minutes behind AWS's",
        WrongClock(_MINUTES),
        "the operator's key",
    ),
    Fault(
        "state-lock-held",
        _LOCK,
        "state_locked",
        "a Terraform on another host took the state lock two minutes ago",
        StateLock(held_for_s=120),
        "the state lock",
        diagnosis="state_lock_alive",
    ),
    Fault(
        "state-lock-dead",
        _LOCK,
        "state_locked",
        "a Terraform that was killed on this machine left the state lock",
        StateLock(host=socket.gethostname()),
        "the state lock",
        diagnosis="state_lock_dead_process",
    ),
    Fault(
        "deploy-lock",
        "Deployment: locks (facts: 9)",
        "deploy_lock_left",
        "a deploy that was killed left its lock in the state bucket",
        LeftDeployLock(),
    ),
)
