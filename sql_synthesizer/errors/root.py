"""The root of the tree of errors, whose table is ``errors``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class SqlSynthesizerError(Exception):
    """Root of the tree.

    ``message`` and ``hint`` go to the caller: no secret, DSN, driver text or stack trace may stand in them.
    ``details`` go to the audit record only.
    """

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "internal"
    outcome: ClassVar[str] = "failed"
    event: str | None = None
    topic: str | None = None
    """What a declined question was about: one of ``errors.DECLINED_TOPICS``."""
    trace_id: str = ""
    """The trace that it ended a part of."""
    default_message: ClassVar[str] = "The service failed to handle the request."
    default_hint: ClassVar[str] = "Try again; if it persists, give the trace id to the operator."

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        event: str | None = None,
        details: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.hint = hint or self.default_hint
        self.details = details or {}
        self.retry_after = retry_after
        if event is not None:
            self.event = event
        super().__init__(self.message)

    def body(self, trace_id: str) -> dict[str, object]:
        """The JSON body sent to the caller."""
        return {"reason": self.reason, "message": self.message, "hint": self.hint, "trace_id": trace_id}
