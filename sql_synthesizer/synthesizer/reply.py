"""What comes back from a model endpoint, and how it is read: nothing in it is trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from sql_synthesizer.errors import ModelInvalid

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sql": {"type": ["string", "null"]},
        "explanation": {"type": "string"},
        "reason": {"type": ["string", "null"]},
    },
    "required": ["sql", "explanation", "reason"],
    "additionalProperties": False,
}
"""JSON schema of the answer that the model is asked for; ``sql`` is null when it cannot answer."""

_FENCED = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)


class EndpointError(Exception):
    """One call of the endpoint failed. ``kind`` is the error's class; no text of the endpoint is kept.

    ``outcome`` is a value of ``vocabulary.LLM_OUTCOME``, ``retry_after`` is in seconds, ``refused_parameter`` is the
    optional parameter of the request that the endpoint does not take.
    """

    def __init__(
        self,
        kind: str,
        outcome: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        refused_parameter: str | None = None,
        sent_bytes: int = 0,
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.outcome = outcome
        self.status = status
        self.retry_after = retry_after
        self.refused_parameter = refused_parameter
        self.sent_bytes = sent_bytes

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self.outcome in ("timeout", "error") or self.status == 429

    @property
    def is_endpoint_fault(self) -> bool:
        """Whether the endpoint is to blame, and not this one request or its reply."""
        return self.outcome != "invalid" and self.status not in (400, 413, 422)


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A completion: its text and the facts around it. Token counts are None where the endpoint gives none."""

    text: str
    refused: bool
    finish_reason: str
    model: str
    id: str
    input_tokens: int | None
    output_tokens: int | None
    sent_bytes: int


class ModelAnswer(BaseModel):
    """What the model says."""

    sql: str | None
    explanation: str = ""
    reason: str | None = None


class _ChatMessage(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _ChatMessage
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = Field(None, ge=0)
    completion_tokens: int | None = Field(None, ge=0)


class _Completion(BaseModel):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def read_completion(body: bytes, sent_bytes: int) -> ModelReply:
    """The reply in a response body. Raises EndpointError when it is not a chat completion."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        raise EndpointError("MalformedCompletion", "invalid", status=200, sent_bytes=sent_bytes) from None
    choice, usage = completion.choices[0], completion.usage or _Usage()
    return ModelReply(
        text=choice.message.content or "",
        refused=bool(choice.message.refusal) or choice.finish_reason == "content_filter",
        finish_reason=(choice.finish_reason or "")[:40],
        model=(completion.model or "")[:100],
        id=(completion.id or "")[:100],
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        sent_bytes=sent_bytes,
    )


def read_answer(reply: ModelReply, max_sql_chars: int) -> ModelAnswer:
    """The model's answer: a bare or fenced JSON object. Raises ModelInvalid for anything else."""
    if reply.refused:
        return ModelAnswer(sql=None)
    text = _THOUGHT.sub("", reply.text, count=1).strip()
    fenced = _FENCED.fullmatch(text)
    try:
        answer = ModelAnswer.model_validate_json(fenced[1] if fenced else text)
    except ValidationError:
        raise ModelInvalid from None
    if answer.sql is not None and not 0 < len(answer.sql.strip()) <= max_sql_chars:
        raise ModelInvalid
    return answer
