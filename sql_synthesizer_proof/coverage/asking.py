"""Asks a question wherever one may come in, stays for the answer or leaves, and says in which trace that was."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import cast

from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.store.jobs import OPEN, RUNNING
from sql_synthesizer.wiring import Rooms
from sql_synthesizer_proof.coverage.instance import LIMIT, Instance

POLL = 0.005
RESET = struct.pack("ii", 1, 0)
"""The option that ends a connection at once, without a farewell."""
REFUSED = "x' OR 1=1 UNION SELECT password FROM users --"
"""Refused before it needs a slot."""

Ready = Callable[[], object]
"""Whether the moment has come to leave."""


def rooms_of(instance: Instance, surface: str) -> Rooms:
    """The rooms that a surface leads to; those of a command are made for it alone."""
    return instance.async_agent.rooms if surface == "async agent" else instance.rooms


def ask(
    instance: Instance, surface: str, text: str, database: str, settings: Mapping[str, object] = MappingProxyType({})
) -> str:
    """Asks, and returns the trace when that has ended; ``settings`` are of a command, which reads its own."""
    with instance.new_trace() as (trace_id, parent):
        if surface in ("query", "sql"):
            name = "question" if surface == "query" else "sql"
            instance.send("POST", f"/api/{surface}", {name: text, "database": database}, trace=parent)
        elif surface == "job":
            ask_in_job(instance, text, database, parent)
        elif surface == "ask":
            instance.command("ask", text, "--name", database, **settings)
        else:
            with suppress(SqlSynthesizerError):
                if surface == "agent":
                    instance.agent.ask(text, database=database, traceparent=parent)
                else:
                    asyncio.run(_coroutine(instance, text, database, parent))
    return trace_id


def ask_and_leave(instance: Instance, surface: str, text: str, database: str, ready: Ready) -> str:
    """Asks, and takes the question back as soon as it is ``ready`` for that. Raises LookupError where nobody can."""
    with instance.new_trace() as (trace_id, parent):
        if surface in ("query", "sql"):
            _leave_connection(instance, surface, {"database": database, _NAMES[surface]: text}, parent, ready)
        elif surface == "job":
            ask_in_job(instance, text, database, parent, ready)
        elif surface == "agent":
            stream = instance.agent.stream([REFUSED, text], at_once=2, database=database, traceparent=parent)
            next(stream)
            _await(ready)
            cast("Generator[object]", stream).close()
        elif surface == "async agent":
            asyncio.run(_cancel_coroutine(instance, text, database, parent, ready))
        else:
            raise LookupError(surface)
    return trace_id


_NAMES = {"query": "question", "sql": "sql"}


def _await(ready: Ready) -> None:
    if not becomes_true(ready, LIMIT, POLL):
        raise TimeoutError


async def _coroutine(instance: Instance, text: str, database: str, parent: str) -> None:
    await instance.async_agent.ask(text, database=database, traceparent=parent)


async def _cancel_coroutine(instance: Instance, text: str, database: str, parent: str, ready: Ready) -> None:
    task = asyncio.create_task(_coroutine(instance, text, database, parent))
    await asyncio.sleep(0)
    await asyncio.to_thread(_await, ready)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _leave_connection(instance: Instance, surface: str, given: dict[str, str], parent: str, ready: Ready) -> None:
    body = json.dumps(given).encode()
    lines = [f"POST /api/{surface} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {instance.key}", f"traceparent: {parent}", f"Content-Length: {len(body)}"]
    with socket.create_connection(("127.0.0.1", instance.port), LIMIT) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        _await(ready)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def ask_in_job(instance: Instance, text: str, database: str, parent: str, ready: Ready | None = None) -> None:
    """Submits a job of one question, and waits for the end of its first try; or cancels it when it is ready."""
    reply = instance.send("POST", "/api/jobs", {"questions": [text], "database": database}, trace=parent)
    job_id = reply.json()["id"]
    jobs = instance.rooms.jobs.store

    def tried() -> bool:
        job = jobs.get_job(job_id)
        return job is not None and (job.state not in OPEN or (job.state == RUNNING and job.waiting > 0))

    if ready is None:
        _await(tried)
    else:
        _await(ready)
    instance.send("DELETE", f"/api/jobs/{job_id}", trace=parent)
