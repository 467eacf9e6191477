"""The service inside somebody else's process: the guards, metrics, spans and audit record that it has over HTTP.

A question runs in a thread, for the drivers of databases wait; ``AsyncQueryAgent`` waits for it without holding the
event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Self, TypedDict, Unpack

from sql_synthesizer.errors import ConfigurationError, InvalidRequest, Overloaded, SqlSynthesizerError, UnexpectedError
from sql_synthesizer.guard.question import intent
from sql_synthesizer.model import Answer, Caller, Role
from sql_synthesizer.model.cancellation import Cancellation
from sql_synthesizer.monitoring import exposition, host
from sql_synthesizer.settings import RATE_LIMIT, Settings, load
from sql_synthesizer.telemetry import carry, vocabulary
from sql_synthesizer.telemetry.operations import current
from sql_synthesizer.telemetry.traceparent import parse_traceparent
from sql_synthesizer.wiring import RESERVED_THREADS, Rooms, build_rooms, check_text

log = logging.getLogger(__name__)

CALLS = 1_000
"""Questions that may go on or wait at once, and that ``ask_many`` takes."""
CLOSE_WITHIN = 5.0
"""Seconds that closing lets questions end by themselves."""
STOP_WITHIN = 2.0
"""Seconds that it waits for those that it has then cancelled."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}"
"""How agents and users are named."""
NAME_HINT = "It has up to 64 letters, digits, and . _ @ + - behind the first."

Result = Answer | SqlSynthesizerError
"""How one question of several ended."""


class AskOptions(TypedDict, total=False):
    """What may be said of a question beside its text.

    ``user`` is who the host asks for; ``traceparent`` the caller's own trace, by default that of the host's current
    OpenTelemetry span or of the operation that is current.
    """

    database: str | None
    max_rows: int | None
    user: str
    traceparent: str | None


class QueryAgent:
    """Answers questions for the host under the name ``agent:IDENTITY``, which stands in each audit record.

    ``rate_limit`` is that of an API key: ``count/period``, ``none``, or empty for the service's own. ``settings`` come
    from the environment where none are given. With ``log`` events are lines on standard output, as the service's.
    Make it after a fork, and close it. Raises ConfigurationError, StoreUnavailable.
    """

    def __init__(
        self,
        identity: str,
        settings: Settings | None = None,
        *,
        role: Role = Role.VIEWER,
        rate_limit: str = "",
        log: bool = False,
    ) -> None:
        if not re.fullmatch(NAME, identity):
            raise ConfigurationError("The identity of an agent is a name, such as 'reports'.", hint=NAME_HINT)
        if not re.fullmatch(f"(none|{RATE_LIMIT})?", rate_limit):
            raise ConfigurationError("Write a rate limit as count/period, for example 120/minute, or none.")
        self._caller = Caller(f"agent:{identity}", Role(role), "", "embedded", rate_limit)
        intent.load_intent_model()  # no question has to wait for it
        self.rooms: Rooms = build_rooms(settings or load(), logging=log).start()
        """What it is made of: ``rooms.health`` for the host's own health check, for example."""
        self._threads = self.rooms.settings.threads - RESERVED_THREADS
        self._pool = ThreadPoolExecutor(self._threads, "query-agent")
        self._calls = _Calls()

    def ask(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """Answers a question; its record is durable then. Raises the errors of ``sql_synthesizer.errors``."""
        cancellation = self._calls.begin()
        try:
            return self._answer(question, options, cancellation, time.monotonic())
        finally:
            self._calls.end(cancellation)

    def ask_many(
        self, questions: Sequence[str], *, at_once: int | None = None, **options: Unpack[AskOptions]
    ) -> list[Result]:
        """How each question ended, in their order: one that fails is an error beside the others' answers.

        ``at_once`` is how many run at a time, by default and at most as many as the service runs. Raises
        InvalidRequest beyond 1,000 questions.
        """
        _check_count(questions)
        return [result for _, result in sorted(self.stream(questions, at_once=at_once, **options), key=_by_index)]

    def stream(
        self, questions: Iterable[str], *, at_once: int | None = None, **options: Unpack[AskOptions]
    ) -> Iterator[tuple[int, Result]]:
        """Each question's index and how it ended, as they end. Questions are taken as results are; leaving cancels."""
        return self._stream(enumerate(questions), self._limit(at_once), options, carry(self._answer))

    def render_metrics(self, accept: str | None = None) -> tuple[bytes, str]:
        """The agent's metrics and their content type, in the form that a scrape's ``Accept`` header asks for."""
        return exposition.render_metrics(accept, self.rooms.metrics.read_fresh())

    def close(self, within: float = CLOSE_WITHIN) -> None:
        """Lets questions end for ``within`` seconds, cancels what then goes on, and writes out what was recorded."""
        self._calls.close(within)
        self._pool.shutdown(wait=False)
        self.rooms.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(CLOSE_WITHIN if kind is None else 0.0)

    # --- one question -----------------------------------------------------------------------

    def _answer(self, text: str, options: AskOptions, cancellation: Cancellation, asked: float) -> Answer:
        telemetry = self.rooms.telemetry
        parent = parse_traceparent(options.get("traceparent")) or host.current_span() or _current_operation()
        with telemetry.operation(vocabulary.AGENT_CALL, parent=parent) as operation:
            operation.trace.actor, operation.trace.role = self._caller.identity, self._caller.role
            try:
                caller = self._find_caller(options)
                operation.trace.actor = caller.identity
                self.rooms.access.limit(caller)
                check_text(text, self.rooms.settings.max_question_chars)
                question = self.rooms.build_question(caller, text, options.get("database"), options.get("max_rows"))
                deadline = asked + self.rooms.settings.deadline
                return self.rooms.service.ask(replace(question, deadline=deadline, cancellation=cancellation))
            except SqlSynthesizerError as error:
                operation.fail(error)
                raise
            except Exception as error:
                operation.fail(error)
                log.exception("unexpected error")
                raise UnexpectedError(details={"error": type(error).__name__}) from error
            finally:
                telemetry.settle()

    def _find_caller(self, options: AskOptions) -> Caller:
        user = options.get("user", "")
        if not user:
            return self._caller
        if not re.fullmatch(NAME, user):
            raise InvalidRequest("The user of a question is a name or a mail address.", hint=NAME_HINT)
        return replace(self._caller, identity=f"{self._caller.identity}/{user}")

    # --- several ----------------------------------------------------------------------------

    def _limit(self, at_once: int | None) -> int:
        return max(1, min(at_once or self._threads, self._threads))

    def _submit(self, text: str, options: AskOptions, answer: _Answering) -> tuple[Future[Answer], Cancellation]:
        """Has a thread of the pool answer. Raises Overloaded when too many wait for one."""
        cancellation = self._calls.begin()
        try:
            future = self._pool.submit(answer, text, options, cancellation, time.monotonic())
        except BaseException:
            self._calls.end(cancellation)
            raise
        future.add_done_callback(lambda _: self._calls.end(cancellation))
        return future, cancellation

    def _stream(
        self, questions: Iterator[tuple[int, str]], limit: int, options: AskOptions, answer: _Answering
    ) -> Iterator[tuple[int, Result]]:
        running: dict[Future[Answer], tuple[int, Cancellation]] = {}
        try:
            while True:
                while len(running) < limit and (following := next(questions, None)) is not None:
                    index, text = following
                    try:
                        future, cancellation = self._submit(text, options, answer)
                    except SqlSynthesizerError as error:
                        yield index, error
                    else:
                        running[future] = index, cancellation
                if not running:
                    return
                for future in concurrent.futures.wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future)[0], _result_of(future)
        finally:
            for future, (_, cancellation) in running.items():
                future.cancel()
                cancellation.cancel()


class AsyncQueryAgent:
    """``QueryAgent`` for coroutines: cancelling who waits for a question cancels it, in the database too.

    It takes the same arguments, and is made by ``async with`` or ``await AsyncQueryAgent(…).start()``.
    """

    def __init__(
        self,
        identity: str,
        settings: Settings | None = None,
        *,
        role: Role = Role.VIEWER,
        rate_limit: str = "",
        log: bool = False,
    ) -> None:
        self._make = lambda: QueryAgent(identity, settings, role=role, rate_limit=rate_limit, log=log)
        self._made: QueryAgent | None = None

    async def start(self) -> Self:
        """Makes the agent. Raises ConfigurationError, StoreUnavailable."""
        self._made = await asyncio.to_thread(self._make)
        return self

    @property
    def rooms(self) -> Rooms:
        """What it is made of."""
        return self._agent.rooms

    async def ask(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """As ``QueryAgent.ask``."""
        future, cancellation = self._agent._submit(question, options, carry(self._agent._answer))  # noqa: SLF001
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            cancellation.cancel()
            raise

    async def ask_many(
        self, questions: Sequence[str], *, at_once: int | None = None, **options: Unpack[AskOptions]
    ) -> list[Result]:
        """As ``QueryAgent.ask_many``."""
        _check_count(questions)
        found = [each async for each in self.stream(questions, at_once=at_once, **options)]
        return [result for _, result in sorted(found, key=_by_index)]

    async def stream(
        self, questions: Iterable[str], *, at_once: int | None = None, **options: Unpack[AskOptions]
    ) -> AsyncIterator[tuple[int, Result]]:
        """As ``QueryAgent.stream``."""
        limit, following = self._agent._limit(at_once), enumerate(questions)  # noqa: SLF001
        running: dict[asyncio.Task[Answer], int] = {}
        try:
            while True:
                while len(running) < limit and (question := next(following, None)) is not None:
                    running[asyncio.create_task(self.ask(question[1], **options))] = question[0]
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield running.pop(task), _result_of(task)
        finally:
            for task in running:
                task.cancel()

    async def render_metrics(self, accept: str | None = None) -> tuple[bytes, str]:
        """As ``QueryAgent.render_metrics``."""
        return await asyncio.to_thread(self._agent.render_metrics, accept)

    async def close(self, within: float = CLOSE_WITHIN) -> None:
        """As ``QueryAgent.close``."""
        if self._made is not None:
            await asyncio.to_thread(self._made.close, within)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.close(CLOSE_WITHIN if kind is None else 0.0)

    @property
    def _agent(self) -> QueryAgent:
        if self._made is None:
            raise ConfigurationError("The agent has not been started.", hint="Use 'async with', or await its 'start'.")
        return self._made


class _Calls:
    """The calls that go on, so that closing can wait for them, or cancel them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._going: set[Cancellation] = set()
        self._closed = False
        self._process = os.getpid()

    def begin(self) -> Cancellation:
        """What cancels a call that begins now. Raises ConfigurationError after closing or a fork, and Overloaded."""
        if os.getpid() != self._process:
            raise ConfigurationError("The agent is another process's.", hint="Make one after the fork.")
        cancellation = Cancellation()
        with self._changed:
            if self._closed:
                raise ConfigurationError("The agent is closed.", hint="Make another one.")
            if len(self._going) >= CALLS:
                raise Overloaded(retry_after=1)
            self._going.add(cancellation)
        return cancellation

    def end(self, cancellation: Cancellation) -> None:
        """Forgets a call."""
        with self._changed:
            self._going.discard(cancellation)
            self._changed.notify_all()

    def close(self, within: float) -> None:
        """Lets no further call begin, and waits for the others, first to end and then to be cancelled."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._going, within)
            left = list(self._going)
        for cancellation in left:
            cancellation.cancel()
        with self._changed:
            self._changed.wait_for(lambda: not self._going, STOP_WITHIN)


_Answering = Callable[[str, AskOptions, Cancellation, float], Answer]


def _current_operation() -> tuple[str, str, bool] | None:
    """What is current here as a parent: a call has a trace of its own, which it shares with no other one."""
    above = current.get()
    return None if above is None else (above.trace.trace_id, above.span_id, above.trace.sampled)


def _check_count(questions: Sequence[str]) -> None:
    if len(questions) > CALLS:
        raise InvalidRequest(f"That are more than {CALLS:,} questions.", hint="Take them from 'stream'.")


def _by_index(found: tuple[int, Result]) -> int:
    return found[0]


def _result_of(done: Future[Answer] | asyncio.Task[Answer]) -> Result:
    """How a question ended; what is no error of the service is raised."""
    error = done.exception()
    if error is None:
        return done.result()
    if isinstance(error, SqlSynthesizerError):
        return error
    raise error
