"""The examples of docs/embedding.md, run as they stand there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sql_synthesizer import QueryAgent
from sql_synthesizer.audit import read_records
from sql_synthesizer.monitoring.metrics import get_metrics
from sql_synthesizer.settings import environment_name
from tests.support.serving import ROOT

PAGE = (ROOT / "docs/embedding.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^#+ ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
APPLICATIONS = {"Flask, and other WSGI applications", "FastAPI, and other ASGI applications", "A notebook"}
PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
QUESTION = {"question": "how many customers are there"}


def cells(section: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL)


@pytest.fixture(autouse=True)
def environment(app_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in app_settings.items():
        monkeypatch.setenv(environment_name(name), str(value))


@pytest.fixture
def agent() -> Iterator[QueryAgent]:
    with QueryAgent("reports") as made:
        yield made


def actors(settings: dict[str, Any]) -> set[str]:
    return {record["actor"] for record in read_records(settings["state_dir"] / "audit")}


def own_queries(exposition: str) -> float:
    """Queries that the decorators of this process have counted, which may be those of other tests too."""
    counted = re.findall(
        r'^\S*queries_total\{.*"sqlite",query_type="aggregate",success="success"\} (\S+)$', exposition, re.MULTILINE
    )
    return sum(map(float, counted))


def test_every_example_is_run() -> None:
    assert {name for name in SECTIONS if cells(name)} - APPLICATIONS == set(PLAIN)
    assert set(SECTIONS) >= APPLICATIONS


PLAIN = ("Embedding", "Who asks", "Errors", "Many questions", "Traces", "The decorators beside it")


def test_plain_examples(agent: QueryAgent, app_settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    before = own_queries(get_metrics())
    (first,) = cells("Embedding")
    exec(compile(first, "Embedding", "exec"), {})
    namespace: dict[str, Any] = {"agent": agent}
    for section in PLAIN[1:]:
        for cell in cells(section):
            exec(compile(cell, section, "exec"), namespace)
    told = capsys.readouterr().out
    assert "not your fault" not in told
    assert told.count("why is the sky blue Declined\n") == 1
    assert own_queries(told) == before + 1
    assert actors(app_settings) == {"agent:reports", "agent:reports/alice@example.org"}


def test_flask(app_settings: dict[str, Any]) -> None:
    (code,) = cells("Flask, and other WSGI applications")
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "flask", "exec"), namespace)
    with namespace["agent"]:
        client = namespace["app"].test_client()
        reply = client.post("/ask", json=QUESTION, headers={"traceparent": PARENT})
        assert (reply.status_code, reply.json["trace_id"]) == (200, "a" * 32)
        refused = client.post("/ask", json={"question": "why is the sky blue"})
        assert (refused.status_code, refused.json["reason"]) == (422, "declined")
        assert refused.json["trace_id"]
        assert 'sql_synthesizer_question_outcomes_total{outcome="declined"' in client.get("/metrics").text
    assert actors(app_settings) == {"agent:shop-admin"}


async def call(app: Any, body: object) -> tuple[int, Any]:
    """A POST to /ask, as an ASGI server makes it."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"traceparent", PARENT.encode())]
    where = {"method": "POST", "path": "/ask", "raw_path": b"/ask", "query_string": b"", "root_path": ""}
    await app({"type": "http", "http_version": "1.1", "scheme": "http", "headers": headers, **where}, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


def test_fastapi(app_settings: dict[str, Any]) -> None:
    (code,) = cells("FastAPI, and other ASGI applications")
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "fastapi", "exec"), namespace)

    async def main() -> list[tuple[int, Any]]:
        async with namespace["lifespan"](namespace["app"]):
            asked = [QUESTION, {"question": "why is the sky blue"}]
            return list(await asyncio.gather(*(call(namespace["app"], body) for body in asked)))

    (status, answer), (refused, why) = asyncio.run(main())
    assert (status, answer["trace_id"], refused, why["reason"]) == (200, "a" * 32, 422, "declined")
    assert actors(app_settings) == {"agent:shop-api"}


def test_the_notebook(app_settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async def run_cells() -> None:
        namespace: dict[str, Any] = {}
        for cell in cells("A notebook"):
            result = eval(compile(cell, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)
            if inspect.iscoroutine(result):
                await result

    asyncio.run(run_cells())
    assert sorted(line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines()) == ["10", "3", "5"]
    assert actors(app_settings) == {"agent:notebook"}
