"""Nothing outlives its deadline: the work of the guards, of model calls and of reading a schema has an end."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from types import FrameType
from typing import Any

import pytest
from sqlglot.errors import SqlglotError

from sql_synthesizer import errors
from sql_synthesizer.guard.statement import StatementGuard, grammar
from sql_synthesizer.guard.statement.grammar import load_grammar
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.synthesizer import endpoint
from sql_synthesizer.synthesizer.endpoint import Endpoint
from sql_synthesizer.synthesizer.reply import EndpointError
from tests.support.growth import CASES
from tests.support.schema import Door
from tests.support.schema import door as door
from tests.support.serving import ends, until
from tests.support.statements import DIALECTS, passed, rule

pytestmark = pytest.mark.boundary


@pytest.fixture
def guard() -> StatementGuard:
    return StatementGuard()


# --- parsing --------------------------------------------------------------------------------

CHAINS = {
    "indices": ("SELECT note", "[1]", ""),
    "slices": ("SELECT note", "[1:2]", ""),
    "indices of names": ("SELECT note", "[note]", ""),
    "indices and casts": ("SELECT note", "[1]::text", ""),
    "indices and names": ("SELECT note", "[1].note", ""),
    "casts": ("SELECT note", "::text", ""),
    "arrows": ("SELECT note", " -> 'a'", ""),
    "collations": ("SELECT note", " COLLATE binary", ""),
    "comparisons": ("SELECT note", " = note", ""),
    "sums": ("SELECT 1", " + 1", ""),
    "conditions": ("SELECT 1 FROM orders WHERE id = 1", " AND id = 1 OR id = 2", ""),
    "negations": ("SELECT ", "NOT ", "1"),
    "columns": ("SELECT 1", ", note", ""),
    "unions": ("SELECT 1", " UNION SELECT 1", ""),
}


def calls(sql: str, dialect: str) -> int:
    """How many functions a parse calls, however it ends."""
    count = 0

    def see(_frame: FrameType, event: str, _about: object) -> None:
        nonlocal count
        count += event == "call"

    reader = load_grammar(dialect)
    tokens = reader.tokenize_sql(sql)
    sys.setprofile(see)
    try:
        with suppress(SqlglotError, RecursionError, errors.StatementRefused):
            reader.parse_tokens(tokens, sql)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_parse_takes_as_much_more_as_its_text_is_longer(dialect: str, chain: str) -> None:
    before, link, behind = CHAINS[chain]
    short, long = (calls(before + link * times + behind, dialect) for times in (20, 80))
    assert long < 6 * short, "four times the text"


def test_a_parse_that_takes_too_long_is_given_up(guard: StatementGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "MAX_SECONDS", -1.0)
    assert rule(guard, "SELECT sum(total) FROM orders WHERE id = 1") == "too_complex"


# --- texts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "sql"), [(dialect, sql) for dialect, cases in CASES.items() for sql in cases if dialect != "sqlite"]
)
def test_no_call_is_given_more_than_it_looks_through_in_a_second(dialect: str, sql: str, guard: StatementGuard) -> None:
    if " REGEXP " in sql:  # linear; the servers' patterns have limits of their own
        passed(guard, sql, dialect)
    else:
        assert rule(guard, sql.replace("item", "orders"), dialect) == "text_size"


PATHS = (
    "WITH RECURSIVE t(id, path) AS (SELECT id, name FROM customers UNION ALL SELECT o.id, t.path || '/' || o.note"
    " FROM t JOIN orders o ON o.customer_id = t.id WHERE instr(t.path, o.note) = 0) SELECT upper(path) FROM t"
)
NAMES = (
    "WITH a AS (SELECT name || ' ' || phone AS name FROM customers), b AS (SELECT name || '!' AS name FROM a)"
    " SELECT replace(upper(name), ' ', '-') FROM b"
)
ORDINARY = {
    "sqlite": (
        "SELECT replace(group_concat(DISTINCT name), ',', '; ') FROM customers",
        "SELECT name FROM customers WHERE instr(lower(trim(name)), lower(trim(phone))) > 0",
        "SELECT printf('%.2f', total), upper(substr(hex(note), 1, 9)) FROM orders",
        "SELECT json_extract(json_group_array(name), '$[0]') FROM customers",
        PATHS,
    ),
    "postgresql": (
        "SELECT string_agg(upper(name), ', ' ORDER BY name), length(string_agg(name, '')) FROM customers",
        "SELECT left(string_agg(name, ','), 100), array_length(array_agg(id), 1) FROM customers",
        "SELECT lpad(id, 10, '0'), rpad(upper(name), 40) FROM customers WHERE name LIKE '%' || phone || '%'",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT abs(n), mod(n, 7) FROM t",
        NAMES,
        "SELECT json_agg(name)::text, split_part(max(name), ' ', 1) FROM customers",
    ),
    "mariadb": (
        "SELECT upper(group_concat(name SEPARATOR ', ')), find_in_set('a', group_concat(name)) FROM customers",
        "SELECT locate(phone, name), substring_index(name, ' ', 1), repeat('*', 5), space(10) FROM customers",
        "SELECT json_length(json_arrayagg(name)), concat_ws(' ', name, phone) FROM customers WHERE name REGEXP '^a'",
    ),
}


@pytest.mark.parametrize(("dialect", "sql"), [(dialect, sql) for dialect, cases in ORDINARY.items() for sql in cases])
def test_ordinary_texts_are_let_through(dialect: str, sql: str, guard: StatementGuard) -> None:
    passed(guard, sql, dialect)


BIG = "(SELECT string_agg(note, '') AS x FROM orders) AS t"
HIDING = {
    "an alias": f"SELECT upper(y) FROM (SELECT x AS y FROM {BIG}) AS u",
    "a star": f"SELECT upper(x) FROM (SELECT * FROM {BIG}) AS u",
    "names for columns": "SELECT upper(y) FROM (SELECT string_agg(note, '') FROM orders) AS t(y)",
    "a union": "SELECT upper(x) FROM (SELECT id AS x FROM staff UNION SELECT string_agg(note, '') FROM orders) AS t",
    "a common table expression": "WITH t(y) AS (SELECT string_agg(note, '') FROM orders) SELECT upper(y) FROM t",
    "an outer query": f"SELECT (SELECT upper(t.x)) FROM {BIG}",
    "a case": f"SELECT upper(CASE WHEN x = 'a' THEN x ELSE '' END) FROM {BIG}",
    "a window": "SELECT upper(string_agg(note, '') OVER ()) FROM orders",
    "a filter": "SELECT upper(string_agg(note, '') FILTER (WHERE id = '1')) FROM orders",
    "a function": f"SELECT upper(coalesce(left(x, 900000000), '')) FROM {BIG}",
    "a lateral": f"SELECT upper(u.y) FROM {BIG}, LATERAL (SELECT t.x AS y) AS u",
    "an array": "SELECT array_to_string(ARRAY(SELECT note FROM orders), '')",
    "a cast": f"SELECT x::json FROM {BIG}",
    "columns in turns": "WITH RECURSIVE t(a, b, n) AS (SELECT '', 'b', 1 UNION ALL SELECT b || b, a, n + 1 FROM t"
    " WHERE n < 30) SELECT upper(a) FROM t",
}


@pytest.mark.parametrize("way", HIDING)
def test_a_large_text_is_known_wherever_it_comes_from(way: str, guard: StatementGuard) -> None:
    assert rule(guard, HIDING[way], "postgresql") == "text_size"


# --- model calls ----------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PAUSE = 0.01
DRIPS: dict[str, tuple[bytes, bytes]] = {
    "status": (b"HTTP/1.1 200 ", b"O"),
    "name of a header": (HEAD, b"x"),
    "value of a header": (HEAD + b"X-Slow: ", b"x"),
    "headers": (HEAD, b"X-Slow: 1\r\n"),
    "informational replies": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "size of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "body without a length": (HEAD + b"Connection: close\r\n\r\n", b" "),
}
"""What is sent at once, and what then comes again and again, each time long before a read would time out."""


@contextmanager
def dripping(first: bytes, drop: bytes, *, before: bytes = b"") -> Iterator[str]:
    """The base URL of a server that drips, after one reply of ``before``; without any of these it reads slowly."""
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    replies = [before] if before else []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if not (first or drop):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                while not done.wait(PAUSE):
                    connection.recv(100)
            while replies:
                connection.recv(65_536)
                connection.sendall(replies.pop())
            connection.recv(65_536)
            connection.sendall(first)
            while not done.wait(PAUSE):
                connection.sendall(drop)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def make_endpoint(url: str) -> Endpoint:
    return Endpoint(Settings(openai_base_url=url))


def complete(called: Endpoint, timeout: float, text: str = "hello") -> Any:
    messages = [{"role": "user", "content": text}]
    return ends(lambda: called.complete(messages, timeout=timeout, traceparent=""))


@pytest.mark.parametrize("place", DRIPS)
def test_a_model_call_has_one_deadline_from_first_byte_to_last(place: str) -> None:
    with dripping(*DRIPS[place]) as url, closing(make_endpoint(url)) as called:
        with pytest.raises(EndpointError) as caught:
            complete(called, 0.3)
        assert caught.value.outcome == "timeout"
        with pytest.raises(EndpointError):
            ends(lambda: called.ping(0.3))


def test_a_connection_that_is_used_again_has_the_deadline_of_the_new_call() -> None:
    body = b'{"id": "1", "object": "chat.completion", "choices": []}'
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with dripping(HEAD, b"x", before=whole) as url, closing(make_endpoint(url)) as called:
        with suppress(EndpointError):
            complete(called, 30)
        with pytest.raises(EndpointError) as caught:
            complete(called, 0.3)
        assert caught.value.outcome == "timeout"


def test_a_model_that_reads_slowly_is_given_up() -> None:
    with dripping(b"", b"") as url, closing(make_endpoint(url)) as called, pytest.raises(EndpointError) as caught:
        complete(called, 0.5, "x" * 20_000_000)
    assert caught.value.outcome == "timeout"


def test_all_addresses_of_a_model_share_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def refuse(_self: object, host: str, *_: Any) -> Any:
        tried.append(host)
        endpoint._deadline.at = 0.0  # the time that this one took
        raise endpoint.httpcore2.ConnectTimeout

    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 9)) for n in range(1, 9)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    monkeypatch.setattr(endpoint.httpcore2.SyncBackend, "connect_tcp", refuse)
    with closing(make_endpoint("http://model.test/v1")) as called, pytest.raises(EndpointError) as caught:
        complete(called, 30)
    assert (tried, caught.value.outcome) == (["127.0.0.1"], "timeout")


# --- schemas --------------------------------------------------------------------------------


def cache(door: Door, **settings: Any) -> SchemaCache:
    return SchemaCache(door, [DatabaseSettings(name="main", url="sqlite://")], Settings(**settings))  # type: ignore[arg-type]


def test_a_schema_has_a_limit_of_its_own(door: Door) -> None:
    cache(door, schema_timeout=77, statement_timeout=3).get("main")
    assert door.timeouts == [77]


def test_a_schema_that_is_cut_has_a_reason_of_its_own(door: Door) -> None:
    door.failing = errors.StatementTimeout()
    with pytest.raises(errors.SchemaTimeout) as caught:
        cache(door).get("main")
    assert (caught.value.reason, caught.value.status) == ("schema_timeout", 504)


def test_a_driver_that_cannot_be_interrupted_is_stopped_between_two_statements(door: Door) -> None:
    with pytest.raises(errors.SchemaTimeout):
        cache(door, schema_timeout=1e-9).get("main")


def test_a_question_waits_for_a_schema_until_its_deadline_and_the_next_has_it(door: Door) -> None:
    door.open.clear()
    schemas = cache(door)
    for _ in range(3):  # those who read and those who wait
        with pytest.raises(errors.SchemaTimeout):
            ends(lambda: schemas.get("main", time.monotonic() + 0.1))
    door.open.set()
    assert ends(lambda: schemas.get("main")).tables == ()
    assert len(door.timeouts) == 1


def test_a_known_schema_is_used_while_it_is_read_slowly(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = cache(door, value_index=False)
    known = schemas.get("main")
    door.open.clear()
    monkeypatch.setattr(schemas._entries["main"], "check_at", 0.0)
    for _ in range(2):
        assert ends(lambda: schemas.get("main", time.monotonic() + 0.1)) is known
    assert ends(lambda: schemas.values("main")) is not None
    door.open.set()
    until(lambda: schemas._entries["main"].reading is None)


@pytest.mark.parametrize("error", [errors.DatabaseUnavailable, errors.PoolTimeout, errors.DatabaseFailed])
def test_another_failure_keeps_its_reason(error: Callable[[], Exception], door: Door) -> None:
    door.failing = error()
    with pytest.raises(type(door.failing)):
        cache(door).get("main")
