"""The one file that knows the ``openai`` package; importing it takes a second."""

from __future__ import annotations

import email.utils
import logging
import ssl
import threading
import time
from collections.abc import Container, Iterable, Iterator
from datetime import UTC
from typing import Any, NoReturn, cast

import httpcore2
import httpx2
import openai

from sql_synthesizer.connecting import find_addresses
from sql_synthesizer.settings import Settings
from sql_synthesizer.synthesizer.reply import ANSWER_SCHEMA, EndpointError, ModelReply, read_completion

MAX_REPLY_BYTES = 1_000_000
"""A reply larger than this is cut off; a full one has a few thousand bytes."""
PIECE_BYTES = 4096
"""What is sent under one limit; a socket takes it whole or not at all."""

DEFAULT_BASE_URL = "https://api.openai.com/v1"

_BLAME = {
    "response_format": ("response_format", "response format", "json_schema", "structured output"),
    "max_tokens": ("max_completion_tokens",),
    "temperature": ("temperature",),
}
"""Optional parameter -> what an endpoint that refuses it writes in its error."""

# These loggers write requests, hence prompts, at debug level.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class ReplyTooLarge(httpx2.RequestError):
    """The body went over MAX_REPLY_BYTES, or came compressed, which was not asked for."""


class _BoundedBody(httpx2.SyncByteStream):
    """A body that ends in an error when it is larger than allowed."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._stream:
            size += len(chunk)
            if size > MAX_REPLY_BYTES:
                raise ReplyTooLarge("the reply is too large")
            yield chunk

    def close(self) -> None:
        self._stream.close()


class _Deadline(threading.local):
    """When the call that this thread makes has to end, on the monotonic clock.

    The client's own timeouts are for one read each, which a peer that sends a byte from time to time never exceeds.
    """

    at = 0.0

    def time_left(self, fault: type[Exception]) -> float:
        """Seconds that are left, more than none. Raises ``fault``."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise fault("the call is past its deadline")
        return left


_deadline = _Deadline()


class _DeadlineStream(httpcore2.NetworkStream):
    """A connection each of whose waits ends by the deadline of the thread that uses it."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _deadline.time_left(httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), PIECE_BYTES):
            self._stream.write(buffer[start : start + PIECE_BYTES], _deadline.time_left(httpcore2.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = _deadline.time_left(httpcore2.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _DeadlineBackend(httpcore2.SyncBackend):
    """Connects by the deadline of the thread, however many addresses a host has."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("the host has no address")
        try:
            addresses = find_addresses(host, port, _deadline.time_left(httpcore2.ConnectTimeout))
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the name of the host took too long") from None
        except OSError as error:
            raise httpcore2.ConnectError(type(error).__name__) from None
        for address in addresses:
            left = _deadline.time_left(httpcore2.ConnectTimeout)
            try:
                return _DeadlineStream(super().connect_tcp(address, port, left, local_address, socket_options))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


class Endpoint:
    """An OpenAI-compatible endpoint; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        key = settings.openai_api_key
        self._settings = settings
        self._dropped_parameters: set[str] = set()
        # A redirect could carry the prompt to another host.
        self._http = openai.DefaultHttpxClient(follow_redirects=False, event_hooks={"response": [_bound_response]})
        # There is no public way to give a client the backend of its connections and of those to a proxy.
        for transport in (self._http._transport, *self._http._mounts.values()):  # noqa: SLF001
            if isinstance(transport, httpx2.HTTPTransport):
                transport._pool._network_backend = _DeadlineBackend()  # noqa: SLF001
        self._client = openai.OpenAI(
            api_key=(key.get_secret_value() if key else "") or "none",
            base_url=settings.openai_base_url or DEFAULT_BASE_URL,
            max_retries=0,
            default_headers={"Accept-Encoding": "identity"},
            http_client=self._http,
        )

    def complete(self, messages: list[dict[str, str]], *, timeout: float, traceparent: str) -> ModelReply:
        """One chat completion within ``timeout`` seconds. Raises EndpointError."""
        create = cast("Any", self._client.chat.completions.with_raw_response.create)
        parameters = self._request_parameters()
        _deadline.at = time.monotonic() + timeout
        try:
            raw = create(messages=messages, timeout=timeout, extra_headers={"traceparent": traceparent}, **parameters)
        except (openai.APIError, httpx2.HTTPError) as error:
            _raise_endpoint_error(error, parameters)
        return read_completion(raw.http_response.content, len(raw.http_response.request.content))

    def drop_parameter(self, parameter: str) -> None:
        """Leaves out an optional parameter from now on."""
        self._dropped_parameters.add(parameter)

    def ping(self, timeout: float) -> None:
        """Lists the models; any answer but a refused key or a server error will do. Raises EndpointError."""
        _deadline.at = time.monotonic() + timeout
        try:
            self._client.models.with_raw_response.list(timeout=timeout)
        except (openai.APIError, httpx2.HTTPError) as error:
            if getattr(error, "status_code", 500) not in (404, 405):
                _raise_endpoint_error(error, ())

    def close(self) -> None:
        """Lets go of the connections."""
        self._http.close()

    def _request_parameters(self) -> dict[str, Any]:
        dropped = self._dropped_parameters
        limit = "max_completion_tokens" if "max_tokens" in dropped else "max_tokens"
        parameters: dict[str, Any] = {"model": self._settings.model, limit: self._settings.model_max_tokens}
        if "temperature" not in dropped:
            parameters["temperature"] = 0
        if "response_format" not in dropped:
            parameters["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": ANSWER_SCHEMA},
            }
        return parameters


def _bound_response(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ReplyTooLarge("the reply is compressed", request=response.request)
    response.stream = _BoundedBody(cast("httpx2.SyncByteStream", response.stream))


def _raise_endpoint_error(error: Exception, sent_parameters: Container[str]) -> NoReturn:
    """Raises the EndpointError that stands for an error of the client, without its text.

    Only a parameter that this request has sent can be the one that was refused: another may have been left out since.
    """
    kind = type(error).__name__
    cause = error.__cause__
    sent = 0 if isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout)) else _sent_bytes(error)
    if isinstance(error, openai.APIStatusError):
        status, refused = error.status_code, _refused_parameter(error)
        raise EndpointError(
            kind,
            "error" if status >= 500 else "rejected",
            status=status,
            retry_after=_parse_retry_after(error.response.headers.get("retry-after")),
            refused_parameter=refused if status in (400, 422) and refused in sent_parameters else None,
            sent_bytes=sent,
        ) from None
    if isinstance(cause, ReplyTooLarge):
        raise EndpointError("ReplyTooLarge", "invalid", sent_bytes=sent) from None
    timed_out = isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException))
    raise EndpointError(kind, "timeout" if timed_out else "error", sent_bytes=sent) from None


def _sent_bytes(error: Exception) -> int:
    request = getattr(error, "request", None)
    return len(request.content) if isinstance(request, httpx2.Request) else 0


def _refused_parameter(error: openai.APIStatusError) -> str | None:
    text = f"{error.param} {error.message[:1000]}".lower()
    return next((name for name, signs in _BLAME.items() if any(sign in text for sign in signs)), None)


def _parse_retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or an HTTP date (RFC 9110, section 10.2.3)."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header[:9])
    try:
        moment = email.utils.parsedate_to_datetime(header)
        # A date without a zone is read as UTC, which HTTP dates are in, not as this machine's time.
        return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
