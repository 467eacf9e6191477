"""The security officer's page goes back in time, reads only so much, and survives what was forged."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import orjson
import pytest

from sql_synthesizer.audit.lines import segment_name
from sql_synthesizer.web import audit_page
from sql_synthesizer.web.audit_page import Filters, search_records
from tests.support.app import App
from tests.support.audit_page import emit, rows


def walked(app: App, path: str) -> list[list[str]]:
    """The records of each page, by following the link to the older ones."""
    pages: list[list[str]] = []
    while path:
        assert len(pages) < 100
        page = app.get(path).text
        pages.append(rows(page))
        link = re.search(r'rel="next" href="([^"]+)"', page)
        path = unescape(link[1]) if link else ""
    return pages


def test_pages_go_back_in_time_and_show_each_record_once(app: App) -> None:
    for n in range(25):
        emit(app, actor="key-9", question=f"question {n}")
    pages = walked(app, "/audit?actor=key-9&limit=10")
    assert [len(page) for page in pages] == [10, 10, 5]
    shown = [int(address.rpartition("/")[2]) for page in pages for address in page]
    assert shown == sorted(set(shown), reverse=True)


def strange(directory: Path, *lines: bytes) -> None:
    """A file that nobody of the service wrote."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / segment_name("20260101T000000Z-1-aa", 0)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def sound(number: int, time: str, **fields: Any) -> bytes:
    record = {"writer": "20260101T000000Z-1-aa", "sequence": number, "time": time, "event_type": "other"}
    return orjson.dumps({**record, "severity": "low", "actor": "a", "details": {}, "mac": "0" * 32, **fields})


@pytest.mark.parametrize(
    ("limit", "pages"),
    [(3, [[5], [4, 3, 2], [1]]), (1, [[5], [4, 3, 2], [1]]), (2, [[5], [4, 3, 2], [1]]), (4, [[5, 4, 3, 2], [1]])],
)
def test_records_of_one_microsecond_are_not_torn_apart(tmp_path: Path, limit: int, pages: list[list[int]]) -> None:
    times = ["2026-01-01T00:00:03.000000Z"] + ["2026-01-01T00:00:02.000000Z"] * 3 + ["2026-01-01T00:00:01.000000Z"]
    strange(tmp_path, *(sound(5 - n, time) for n, time in reversed(list(enumerate(times)))))
    assert sequences(tmp_path, limit) == pages


def test_a_record_of_one_microsecond_is_one_page(tmp_path: Path) -> None:
    strange(tmp_path, *(sound(n, "2026-01-01T00:00:03.000000Z") for n in range(1, 4)))
    assert sequences(tmp_path, 1) == [[3, 2, 1]]


def sequences(directory: Path, limit: int) -> list[list[int]]:
    """The numbers of the records of each page."""
    seen, before = [], None
    for _ in range(10):
        page = search_records(directory, Filters(limit=limit, before=before))
        seen.append([record["sequence"] for record in page.records])
        before = page.older
        if before is None:
            break
    return seen


def test_a_request_reads_only_so_much_and_says_how_far_it_came(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    times = [(now - timedelta(minutes=n)).isoformat().replace("+00:00", ".000000Z") for n in reversed(range(900))]
    lines = [sound(n, time, actor="rare" if n == 3 else "a", details={"x": "y" * 500}) for n, time in enumerate(times)]
    strange(app.rooms.settings.audit_path, *lines)
    monkeypatch.setattr(audit_page, "READ_BYTES", 200_000)
    first = app.get("/audit?actor=rare").text
    assert "Searched back to" in first
    assert rows(first) == []
    assert "Search on" in first
    pages = walked(app, "/audit?actor=rare")
    assert len(pages) > 2
    assert [address.rpartition("/")[2] for page in pages for address in page] == ["3"]


def test_a_record_that_somebody_forged_breaks_nothing(app: App) -> None:
    deep = b'{"writer":"w","sequence":9,"time":"2026-01-01T00:00:00Z","details":' + b"[" * 500 + b"]" * 500 + b"}"
    strange(
        app.rooms.settings.audit_path,
        b'{"sequence":1,"time":"never"}',
        b'{"sequence":2,"time":"2026-01-01T00:00:00","writer":"../x","details":[1],"severity":{"a":1},"count":"<b>"}',
        b'{"sequence":3,"time":"9999-12-31T23:59:59-12:00","details":{"question":["<b>"]},"actor":["<b>"]}',
        deep,
    )
    page = app.get("/audit").text
    assert len(rows(page)) == 3
    assert "1 line of the files read is no record" in page
    assert "<b>" not in page
    for address in rows(page):
        assert app.get(address).status_code in (200, 404)
    for number in (1, 2, 3):
        reply = app.get(f"/audit/20260101T000000Z-1-aa/{number}")
        assert reply.status_code == 200
        assert "<b>" not in reply.text
    assert app.get("/audit?limit=1").status_code == 200
