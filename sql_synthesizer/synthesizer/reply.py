"""What comes back from a model endpoint, and how it is read: nothing in it is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, ValidationError

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

MAX_OBJECTS = 100
"""Places of a reply at which a JSON object is looked for."""

_THOUGHT = re.compile(r"\A.*</(think|thinking|reasoning)>|<(think|thinking|reasoning)>.*", re.DOTALL | re.IGNORECASE)
"""What a model says to itself: all up to its last end, and what was cut off within it."""
_FENCED = re.compile(r"```(?:[ \t]*\w*[ \t]*\n)?(.*?)```", re.DOTALL)
_QUERY = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_DECODER = json.JSONDecoder(strict=False)


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
    def may_be_billed(self) -> bool:
        """Whether the request was sent and no whole reply came: the model may have worked on it all the same."""
        return self.status is None and self.sent_bytes > 0

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

    sql: str | None = Field(validation_alias=AliasChoices("sql", "SQL", "query"))
    explanation: str = ""
    reason: str | None = None


class _ContentPart(BaseModel):
    text: str = ""


class _ChatMessage(BaseModel):
    content: str | list[_ContentPart] | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """The content; some endpoints send it in parts."""
        parts = self.content if isinstance(self.content, list) else [_ContentPart(text=self.content or "")]
        return "".join(part.text for part in parts)


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
        text=choice.message.text,
        refused=bool(choice.message.refusal) or choice.finish_reason == "content_filter",
        finish_reason=(choice.finish_reason or "")[:40],
        model=(completion.model or "")[:100],
        id=(completion.id or "")[:100],
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        sent_bytes=sent_bytes,
    )


def read_answer(reply: ModelReply, max_sql_chars: int) -> ModelAnswer:
    """The model's answer, wherever in its reply it stands: JSON objects, else fenced queries, else a query alone.

    Raises ModelInvalid when there is none of these, when several differ, and when a query alone was cut off.
    """
    if reply.refused:
        return ModelAnswer(sql=None)
    text = _THOUGHT.sub("", reply.text).strip()
    parts = _FENCED.findall(text) or ([] if reply.finish_reason == "length" else [text])
    found = list(_find_objects(text)) or [ModelAnswer(sql=part) for part in parts if _QUERY.match(part)]
    answers = {answer.sql and _plain_query(answer.sql): answer for answer in found}
    if len(answers) != 1:
        raise ModelInvalid
    ((sql, answer),) = answers.items()
    if sql is not None and not 0 < len(sql) <= max_sql_chars and not (sql == "" and answer.reason):
        raise ModelInvalid
    return answer.model_copy(update={"sql": sql or None})


def _plain_query(sql: str) -> str:
    """A query without the fence that some models put around it even within JSON."""
    fenced = _FENCED.fullmatch(sql.strip())
    return (fenced[1] if fenced else sql).strip()


def _find_objects(text: str) -> Iterator[ModelAnswer]:
    """The outermost JSON objects that are answers, in whatever text around them."""
    place = text.find("{")
    for _ in range(MAX_OBJECTS):
        if place < 0:
            return
        try:
            value, end = _DECODER.raw_decode(text, place)
            yield ModelAnswer.model_validate(value)
        except (ValueError, RecursionError):  # no JSON, or an object of another kind, which may hold an answer
            end = place + 1
        place = text.find("{", end)
