"""A body that is not framed as HTTP demands is the sender's fault, not an unexpected error."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.unreader import IterUnreader

from tests.support.app import LOCAL, App


@pytest.mark.parametrize("path", ["/api/query", "/api/sql", "/login"])
@pytest.mark.parametrize("sent", [b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcdef", b"3;\r=\r\nabc\r\n0\r\n\r\n", b"3\r\nab"])
def test_a_badly_framed_body_is_an_invalid_request(app: App, path: str, sent: bytes) -> None:
    body = Body(ChunkedReader(SimpleNamespace(), IterUnreader([sent])))
    kind = "application/x-www-form-urlencoded" if path == "/login" else "application/json"
    read = {"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    reply = app.client.post(path, content_type=kind, environ_overrides={**LOCAL, **read})
    assert reply.status_code in (400, 403)
    assert app.records("unexpected_error") == []
    assert [record["event_type"] for record in app.records()] in (["invalid_request"], ["csrf_failure"])
