"""Which traces are kept when they end, and what holding them may cost."""

from __future__ import annotations

import pytest

from sql_synthesizer.errors import Declined, PoolTimeout
from sql_synthesizer.monitoring import slo, tail
from sql_synthesizer.monitoring.tail import TailObserver
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.app import App, running

SLOW = 1_000_000_000


class Kept:
    """Takes what is kept."""

    def __init__(self):
        self.fragments = []

    def keep(self, fragment):
        self.fragments.append(fragment)

    def close(self):
        pass

    @property
    def names(self):
        return [[span.name for span in fragment.spans] for fragment in self.fragments]


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def memory():
    return MemoryObserver()


@pytest.fixture
def facade(kept, memory):
    """One that samples nothing."""
    facade = Telemetry(sample_ratio=0)
    facade.slow_ns = SLOW
    facade.observers = [TailObserver(Settings(), facade, [kept]), memory]
    yield facade
    facade.close()


def ask(facade, error=None, took=0, parent=None, route="/api/query"):
    """A request with one stage; the stage ends by ``error``, the request has taken ``took`` nanoseconds longer."""
    labels = {"method": "POST", "route": route}
    with facade.operation(vocabulary.HTTP_REQUEST, parent=parent, **labels) as request:
        if error is not None:
            with pytest.raises(type(error)), facade.operation(vocabulary.STAGE_OPERATION, stage="schema"):
                raise error
        else:
            with facade.operation(vocabulary.STAGE_OPERATION, stage="schema"):
                pass
        request._start -= took
    facade.fold()
    return request


WHOLE = ["schema", "POST /api/query"]


def test_a_quick_trace_that_is_not_sampled_is_let_go(facade, kept):
    ask(facade)
    ask(facade, Declined())
    assert kept.names == []
    assert facade.observers[0]._held == 0


def test_a_failure_keeps_the_trace_whole(facade, kept):
    request = ask(facade, PoolTimeout())
    (fragment,) = kept.fragments
    assert kept.names == [WHOLE]
    assert (fragment.failed, fragment.slow, fragment.root.span_id) == (True, False, request.span_id)
    assert fragment.spans[0].parent_id == request.span_id
    assert fragment.spans[0].attributes["error.type"] == "pool_timeout"


def test_a_slow_trace_is_kept_whole(facade, kept):
    ask(facade, took=SLOW)
    assert kept.names == [WHOLE]
    assert (kept.fragments[0].failed, kept.fragments[0].slow) == (False, True)


def test_the_callers_decision_stands(facade, kept):
    ask(facade, parent=("a" * 32, "b" * 16, True))
    ask(facade, parent=("c" * 32, "d" * 16, False))
    assert [fragment.trace.trace_id for fragment in kept.fragments] == ["a" * 32]


def test_requests_of_one_trace_are_decided_apart(facade, kept):
    parent = ("a" * 32, "b" * 16, False)
    ask(facade, parent=parent)
    ask(facade, PoolTimeout(), parent=parent)
    assert kept.names == [WHOLE]


def test_what_closes_after_the_request_shares_its_fate(facade, kept):
    for error in (None, PoolTimeout()):
        request = facade.operation(vocabulary.HTTP_REQUEST, method="POST", route="/api/query")
        with request:
            late = facade.operation(vocabulary.STAGE_OPERATION, stage="cache")
            if error is not None:
                request.fail(error)
        facade.fold()
        with late:
            pass
        facade.fold()
    facade.close()
    assert kept.names == [["POST /api/query"], ["cache"]]


def test_a_probe_is_kept_only_when_it_fails(facade, kept):
    ask(facade, took=SLOW, route="/health/ready")
    assert kept.names == []
    with facade.operation(vocabulary.HTTP_REQUEST, method="GET", route="/health/ready") as probe:
        probe.labels["status"], probe.details.status = "5xx", 503
    facade.fold()
    (fragment,) = kept.fragments
    assert fragment.root.attributes["error.type"] == "503"
    assert fragment.root.failed


def open_stage(facade):
    with facade.operation(vocabulary.STAGE_OPERATION, stage="schema"):
        pass


def test_upkeep_begins_no_trace(facade, kept):
    facade.sample_ratio = 1.0
    with facade.operation(vocabulary.CONNECTION_WAIT, database_type="sqlite"):
        pass
    facade.fold()
    assert kept.names == []


def test_holding_is_bounded_and_what_it_costs_is_counted(facade, kept, memory, monkeypatch):
    monkeypatch.setattr(tail, "HELD", 10)
    with facade.operation(vocabulary.COMMAND):
        for _ in range(25):
            open_stage(facade)
            facade.fold()
        assert facade.observers[0]._held <= 10
    facade.fold()
    dropped = sum(event.count for event in memory.events("telemetry_dropped"))
    assert (dropped, kept.names) == (22, [])


def test_a_sampled_trace_that_runs_on_is_kept_as_it_goes(facade, kept, monkeypatch):
    monkeypatch.setattr(tail, "PATIENCE", -1.0)
    facade.sample_ratio = 1.0
    with facade.operation(vocabulary.COMMAND):
        open_stage(facade)
        facade.fold()
        assert kept.names == [["schema"]]
        assert kept.fragments[0].root is None
    facade.close()
    assert kept.names == [["schema"], ["command"]]


def test_an_exemplar_leads_to_what_is_kept(facade, memory):
    assert not ask(facade).notable
    assert ask(facade, took=SLOW).notable
    ask(facade, PoolTimeout())
    assert memory.operations(vocabulary.STAGE_OPERATION)[-1].notable


def test_slow_is_what_the_objective_says_unless_it_is_set(app_settings):
    for given, seconds in (({}, slo.LATENCY_BOUND), ({"trace_slow": 0.25}, 0.25)):
        with running(load(**app_settings, **given)) as app:
            assert app.rooms.telemetry.slow_ns == seconds * 1e9


ROUTES = ("/api/me", "/api/schema", "/api/history", "/api/results/0123456789abcdef", "/nothing", "/api/nothing")


@pytest.mark.parametrize("path", ROUTES)
def test_every_reply_names_its_trace(app: App, path: str):
    trace = "a" * 32
    reply = app.get(path, headers={"traceparent": f"00-{trace}-{'b' * 16}-01"})
    assert reply.get_json()["trace_id"] == reply.headers["X-Trace-Id"] == trace
    version, given, span, flags = reply.headers["traceresponse"].split("-")
    assert (version, given, flags) == ("00", trace, "01")
    assert len(span) == 16
    assert span != "b" * 16


def test_a_page_that_says_what_is_wrong_names_its_trace(app: App):
    reply = app.get("/nothing", headers={"Accept": "text/html"})
    assert reply.headers["X-Trace-Id"] in reply.text


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics"])
def test_a_probe_begins_no_trace(app: App, path: str):
    asked = app.get(path)
    assert asked.status_code == 200
    assert asked.headers["traceresponse"].endswith("-00")
    assert "trace_id" not in (asked.get_json(silent=True) or {})


def test_a_failed_probe_names_its_trace(app: App):
    app.rooms.settings.drain_file.touch()
    reply = app.get("/health/ready")
    assert (reply.status_code, reply.get_json()["trace_id"]) == (503, reply.headers["X-Trace-Id"])


def test_the_span_of_a_request_says_where_and_nothing_of_what(app: App, kept):
    app.rooms.telemetry.observers.append(TailObserver(Settings(), app.rooms.telemetry, [kept]))
    app.ask("how many customers are there")
    app.get("/some/secret")
    app.rooms.telemetry.fold()
    asked, unmatched = (fragment.root.attributes for fragment in kept.fragments if fragment.root.kind == "server")
    assert (asked["url.path"], asked["url.scheme"], asked["http.route"]) == ("/api/query", "http", "/api/query")
    assert "url.path" not in unmatched
    assert "customers" not in str([span.attributes for fragment in kept.fragments for span in fragment.spans])
