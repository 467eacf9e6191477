"""What makes a question end at a stage for a reason, wherever it came in; and where it is asked for that."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path as File
from unittest.mock import patch

from sql_synthesizer.database import sqlite_reader
from sql_synthesizer.errors import DatabaseFailed, Overloaded, SqlSynthesizerError
from sql_synthesizer.model import Caller, Question, Role
from sql_synthesizer.model.cancellation import Cancellation
from sql_synthesizer.operate.child import wait_until
from sql_synthesizer.settings import Settings
from sql_synthesizer.wiring import Rooms
from sql_synthesizer_proof.coverage import foreign
from sql_synthesizer_proof.coverage.asking import REFUSED, ask, ask_and_leave, rooms_of
from sql_synthesizer_proof.coverage.derive import ANSWERS, TYPED
from sql_synthesizer_proof.coverage.instance import LIMIT, Instance, random_text
from sql_synthesizer_proof.coverage.path import Path

COUNT = "SELECT count(*) FROM customers"
ENDLESS = """SELECT count(*) FROM orders a JOIN orders b ON b.id <> a.id JOIN orders c ON c.id <> a.id
    JOIN orders d ON d.id <> a.id"""
WRITTEN = {
    "count for me": COUNT,
    "please never stop": ENDLESS,
    "delete for nobody": "SELECT abs(-9223372036854775807 - 1) FROM customers",
    "find nobody": "SELECT id FROM customers WHERE id < 0",
    "delete by a view": "SELECT tick FROM ticking",
    "delete for me": "DELETE FROM customers",
}
"""How a question to the model begins -> the statement that it writes; other questions it declines."""
ANEW = "how many products have price over {}"
DECLINED = "please sing"
LONG = "\N{DEVANAGARI LETTER QA}" * (int(Settings.model_fields["max_question_chars"].default) - 100)
"""Short enough as it is typed, and twice as long in its normal form."""

Arrange = Callable[[Instance, Rooms], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is asked, of which database of which instance, and what is arranged around it.

    ``text`` gets a number that nobody has asked for; an analyst types what the model would have written. With
    ``leaves`` the caller leaves when the question is under way.
    """

    text: str
    database: str = "shop"
    setup: str = "main"
    arrange: Arrange = lambda *_: nullcontext()
    leaves: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of a command alone, which reads its own."""


def write_statement(question: str) -> str | None:
    """What the model writes; some of it takes a moment."""
    if question.startswith("count slowly"):
        time.sleep(0.2)
        return COUNT
    return next((sql for begin, sql in WRITTEN.items() if question.startswith(begin)), None)


# --- what is arranged ------------------------------------------------------------------------


@contextmanager
def hold_slots(_instance: Instance, rooms: Rooms) -> Iterator[None]:
    """Other questions have every slot."""
    slots = rooms.service.slots
    caller = Caller("somebody", Role.VIEWER, "", "key")
    other = Question("", "", caller, 1, time.monotonic() + LIMIT, Cancellation())
    with ExitStack() as stack:
        for _ in range(slots.size):
            slots.acquire(other)
            stack.enter_context(slots.hold(other))
        yield


@contextmanager
def fill_queue(_instance: Instance, rooms: Rooms) -> Iterator[None]:
    """As many questions of another caller are there as may be."""
    with ExitStack() as stack:
        with suppress(Overloaded):
            while True:
                stack.enter_context(rooms.service.slots.enter("somebody"))
        yield


@contextmanager
def hold_connections(_instance: Instance, rooms: Rooms) -> Iterator[None]:
    """Somebody else has the only connection to the database; its schema is known."""
    rooms.schemas.get("tight")
    with rooms.databases.connect("tight", LIMIT):
        yield


@contextmanager
def hold_unread(_instance: Instance, rooms: Rooms) -> Iterator[None]:
    """Somebody else has the only connection to each database whose schema nobody has read."""
    with ExitStack() as stack:
        for name in rooms.databases.names:
            if name.startswith("for_"):
                stack.enter_context(rooms.databases.connect(name, LIMIT))
        yield


@contextmanager
def lock_file(instance: Instance, _rooms: Rooms) -> Iterator[None]:
    """Another program has the database for itself."""
    with closing(sqlite3.connect(instance.home / "for_ask.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def lose_file(instance: Instance, rooms: Rooms) -> Iterator[None]:
    """The database is no database any more, its schema is still known."""
    with _forgotten(rooms, "lost"), _replaced(instance.home / "lost.sqlite", b"no database any more " * 1000):
        yield


@contextmanager
def damage_pages(instance: Instance, rooms: Rooms) -> Iterator[None]:
    """The pages of the customers are damaged."""
    file = instance.home / "lost.sqlite"
    content = bytearray(file.read_bytes())
    with closing(sqlite3.connect(file)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        roots = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'customers'").fetchall()
    for (page,) in roots:
        content[(page - 1) * size : page * size] = b"\xff" * size
    with _forgotten(rooms, "lost"), _replaced(file, bytes(content)):
        yield


@contextmanager
def rename_column(instance: Instance, rooms: Rooms) -> Iterator[None]:
    """The database can be read again, and lacks a column that its settings name."""
    with _replaced(instance.home / "renamed.sqlite", (instance.home / "shop.sqlite").read_bytes()):
        wait_until(lambda: _says(rooms, "renamed", DatabaseFailed), LIMIT, "the schema is read anew")
        yield


def _says(rooms: Rooms, database: str, error: type[Exception]) -> bool:
    """Whether reading the schema ends so: a failure is answered with for a moment."""
    try:
        rooms.schemas.get(database)
    except error:
        return True
    except SqlSynthesizerError:
        return False
    return False


@contextmanager
def hold_no_setting(_instance: Instance, rooms: Rooms) -> Iterator[None]:
    """The server makes another value of what it is given, as one does that a proxy stands before."""
    with _forgotten(rooms, "lost"), patch.dict(sqlite_reader.PINS, {"short_column_names": 7}):
        yield


@contextmanager
def _forgotten(rooms: Rooms, database: str) -> Iterator[None]:
    """The schema is known, and no connection is open; none is left afterwards."""
    rooms.schemas.get(database)
    _drop_connection(rooms, database)
    try:
        yield
    finally:
        with suppress(SqlSynthesizerError):
            _drop_connection(rooms, database)


class _Dropped(BaseException):
    """What is no exception of the program's takes its connection with it."""


def _drop_connection(rooms: Rooms, database: str) -> None:
    with suppress(_Dropped), rooms.databases.connect(database):
        raise _Dropped


@contextmanager
def _replaced(file: File, content: bytes) -> Iterator[None]:
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


@contextmanager
def stop_record(instance: Instance, _rooms: Rooms | None = None) -> Iterator[None]:
    """A file stands where the directory of the record was; afterwards what could not be written is."""
    away = instance.audit.with_name("audit.away")
    instance.audit.rename(away)
    instance.audit.touch()
    try:
        yield
    finally:
        instance.audit.unlink()
        away.rename(instance.audit)
        instance.rooms.audit.flush()


def fail_model(instance: Instance, _rooms: Rooms) -> AbstractContextManager[None]:
    """The model's endpoint fails."""
    instance.model.fail(500)
    return nullcontext()


def confuse_model(instance: Instance, _rooms: Rooms) -> AbstractContextManager[None]:
    """The model answers with what is no statement."""
    instance.model.reply(text="I am a poet, not a clerk.")
    return nullcontext()


FAULTS: dict[tuple[str, str], Fault] = {
    (ANSWERS, "llm"): Fault("count for me {}"),
    (ANSWERS, "rules"): Fault(ANEW, "plain"),
    (ANSWERS, "cache"): Fault("how many customers are there", "plain"),
    (ANSWERS, "analyst"): Fault("count for me {}"),
    ("guard_question", "invalid_request"): Fault("how many \x07 customers {}"),
    ("guard_question", "question_empty"): Fault(" "),
    ("guard_question", "question_refused"): Fault(REFUSED),
    ("guard_question", "question_too_long"): Fault(LONG),
    ("cache", "cache_unavailable"): Fault(ANEW, "plain", "cacheless"),
    ("schema", "database_failed"): Fault(ANEW, "renamed", arrange=rename_column),
    ("schema", "privilege_missing"): Fault(ANEW, "empty"),
    ("schema", "schema_timeout"): Fault(ANEW, "for_{surface}", "brief", hold_unread),
    ("queue", "cancelled"): Fault(ANEW, "plain", arrange=hold_slots, leaves=True),
    ("queue", "overloaded"): Fault(ANEW, "plain", "brief", hold_slots),
    ("synthesize", "declined"): Fault(DECLINED),
    ("synthesize", "model_invalid"): Fault(DECLINED, arrange=confuse_model),
    ("synthesize", "model_unavailable"): Fault(DECLINED, arrange=fail_model),
    ("guard_statement", "statement_refused"): Fault("delete for me {}"),
    ("execute", "cancelled"): Fault("please never stop {}", leaves=True),
    ("execute", "database_failed"): Fault("count for me {}", "lost", arrange=damage_pages),
    ("execute", "database_unavailable"): Fault("count for me {}", "lost", arrange=lose_file),
    ("execute", "privilege_missing"): Fault("count for me {}", "reader", "postgres", foreign.revoke_reading),
    ("execute", "privileged_login"): Fault("count for me {}", "riser", "postgres", foreign.raise_login),
    ("execute", "statement_cancelled"): Fault("count for me {}", "reader", "postgres", foreign.cancel_statement),
    ("execute", "pool_timeout"): Fault("count for me {}", "tight", arrange=hold_connections),
    ("execute", "setting_not_held"): Fault("count for me {}", "lost", arrange=hold_no_setting),
    ("execute", "statement_invalid"): Fault("delete for nobody {}"),
    ("execute", "statement_refused"): Fault("delete by a view {}", "reader", "postgres"),
    ("execute", "statement_timeout"): Fault("please never stop {}"),
    ("settle", "audit_unavailable"): Fault("count for me {}", arrange=stop_record),
}
OF_COMMAND: dict[tuple[str, str], Fault] = {
    (ANSWERS, "cache"): Fault("how many customers are there", "plain", "redis"),
    ("schema", "schema_timeout"): Fault(ANEW, "for_ask", "brief", lock_file),
    ("settle", "audit_unavailable"): Fault("count for me {}", settings={"audit_reserve_bytes": 10**18}),
}
"""What is otherwise for a command, whose rooms are made for it alone."""


def find_fault(path: Path) -> Fault | None:
    """What has a question end as a path says; None where nothing is known that does."""
    own = OF_COMMAND if path.surface == "ask" else {}
    return own.get((path.stage, path.outcome)) or FAULTS.get((path.stage, path.outcome))


def drive_question(instance: Instance, path: Path) -> str:
    """Asks as the path says. Raises LookupError where nothing is known that makes it end so."""
    fault = find_fault(path)
    if fault is None:
        raise LookupError("no fault")
    text, database = (
        fault.text.replace("{}", random_text()),
        fault.database.format(surface=path.surface.replace(" ", "_")),
    )
    if path.surface == TYPED:
        text = write_statement(text) or COUNT
    if path.outcome == "cache":
        ask(instance, path.surface, text, database)
    rooms = rooms_of(instance, path.surface)
    with fault.arrange(instance, rooms):
        if not fault.leaves:
            return ask(instance, path.surface, text, database, fault.settings)
        slots = rooms.service.slots
        busy = (lambda: slots.waiting) if path.stage == "queue" else (lambda: _is_executing(instance))
        trace_id = ask_and_leave(instance, path.surface, text, database, busy)
        instance.await_end(trace_id, path.outcome)
        return trace_id


def _is_executing(instance: Instance) -> bool:
    return instance.count([("active_connections", {})]) != [0]
