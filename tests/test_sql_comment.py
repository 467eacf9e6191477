"""The comment that names the trace in a statement, as the databases themselves see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sql_synthesizer.telemetry import Operation, Telemetry, Trace, vocabulary
from sql_synthesizer.telemetry.traceparent import format_comment
from tests.support.managers import SERVERS, Bench
from tests.support.managers import bench as bench
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.managers import url as url

OWN = {
    "postgresql": "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    "mariadb": "SELECT info FROM information_schema.processlist WHERE id = connection_id()",
    "mysql": "SELECT info FROM information_schema.processlist WHERE id = connection_id()",
}
"""Kind of server -> the statement that shows itself."""


@pytest.mark.parametrize("url", SERVERS, indirect=True)
@pytest.mark.parametrize("switched", [True, False])
def test_the_database_sees_the_trace_where_it_is_switched_on(
    url: str, bench: Callable[..., Bench], switched: bool
) -> None:
    one = bench(url, sql_comment=switched)
    sql = OWN[one.manager.dialect("main")]
    with one.telemetry.operation(vocabulary.COMMAND) as operation:
        ((seen,),) = one.run(sql).rows
    wanted = f" /*traceparent='00-{operation.trace.trace_id}-{operation.span_id}-01'*/"
    ran = "FETCH FORWARD 500 FROM answer" if one.manager.dialect("main") == "postgresql" else sql
    assert seen == ran + wanted * switched


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_statement_runs_with_it_and_outside_of_any_trace(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, sql_comment=True)
    assert one.run("SELECT 1").rows == ((1,),)
    with one.telemetry.operation(vocabulary.COMMAND):
        assert one.run("SELECT '/*'").rows == (("/*",),)


@pytest.mark.parametrize("id", ["*/ DROP TABLE item; /*", "'" * 32, "A" * 32, "a" * 31 + "*", ""])
def test_nothing_but_digits_gets_into_it(id: str) -> None:
    assert format_comment(Operation(Telemetry(), vocabulary.COMMAND, Trace(id, sampled=True), "", {})) == ""
