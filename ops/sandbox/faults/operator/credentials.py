"""Faults of the operator's credentials and clock, as AWS's signature check answers them."""

from __future__ import annotations

from dataclasses import dataclass

from ops.sandbox.faults.account import as_operator
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles


class _RefusedKey(FaultInjector):
    """AWS refuses the operator's key."""

    code = ""

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        from botocore.exceptions import ClientError

        try:
            as_operator(handles).sts.get_caller_identity()
        except ClientError as refused:
            return str(refused.response["Error"]["Code"]) == self.code
        return False


class ExpiredCredentials(_RefusedKey):
    """The session of the operator's credentials has expired."""

    code = "ExpiredToken"

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.aws.signed.expire(handles.aws.keys.operator.access_key, expired=True)
        return {}

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        handles.aws.signed.expire(handles.aws.keys.operator.access_key, expired=False)


@dataclass(frozen=True)
class WrongClock(_RefusedKey):
    """AWS's clock and the operator's differ by this many minutes: AWS's is ahead."""

    minutes: float
    code = "SignatureDoesNotMatch"

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.aws.signed.shift(handles.aws.keys.operator.access_key, self.minutes)
        return {}

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        handles.aws.signed.shift(handles.aws.keys.operator.access_key, 0.0)
