"""Routes: the documentation lists each, with the role that it needs and what a stranger gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from werkzeug.test import TestResponse

from sql_synthesizer.model import Role
from sql_synthesizer.settings import load
from sql_synthesizer.web.admission import Strangers, find_audience
from sql_synthesizer.webapp import create_app
from sql_synthesizer.wiring import Rooms, build_rooms

DOCUMENT = "docs/access.md"
EVERYBODY = "everybody"
_ROW = re.compile(r"^\| `([A-Z]+ /\S*)` \| (\w+ \| [\w -]+) \|", re.MULTILINE)
_ELSEWHERE = {"REMOTE_ADDR": "192.0.2.1"}
"""An address for documentation (RFC 5737), so that nobody is taken for a local user."""


def route_faults(root: Path) -> Iterator[str]:
    """Routes that are not in the table, or with another audience than they have, and rows of no route.

    A row's path may end in ``*``; arguments stand in it in capitals.
    """
    rows = dict(_ROW.findall((root / DOCUMENT).read_text(encoding="utf-8")))
    routes = find_routes()
    for route, audience in routes.items():
        listed = next((rows[row] for row in rows if fnmatchcase(route, row)), None)
        if listed is None:
            yield f"route {route}: {DOCUMENT} does not list it as | {audience} |"
        elif listed != audience:
            yield f"route {route}: it is for | {audience} |, {DOCUMENT} says | {listed} |"
    for row in rows:
        if not any(fnmatchcase(route, row) for route in routes):
            yield f"route {row}: {DOCUMENT} lists it, but there is none"


@cache
def find_routes() -> dict[str, str]:
    """Each route, as ``GET /path/ARGUMENT`` -> the least role that it lets in, found by asking, and what others get."""
    with TemporaryDirectory() as place:
        database = Path(place, "empty.sqlite")
        database.touch()
        settings = load(state_dir=place, database_url=f"sqlite:///{database}", auth="required", rate_limit="")
        rooms = build_rooms(settings, logging=False)
        try:
            return dict(_ask_routes(rooms))
        finally:
            rooms.close()


def _ask_routes(rooms: Rooms) -> Iterator[tuple[str, str]]:
    keys = {role.value: rooms.access.keys.create_key(role.value, role) for role in Role}
    asking = {EVERYBODY: {}, **{role: {"Authorization": f"Bearer {key}"} for role, key in keys.items()}}
    client = create_app(rooms=rooms).test_client(use_cookies=False)
    for rule in client.application.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: found[1].upper(), rule.rule)
        strangers = find_audience(client.application, rule.endpoint).strangers
        _, address = rule.build(dict.fromkeys(rule.arguments, 1)) or ("", "")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            for role, headers in asking.items():
                if _is_let_in(client.open(address, method=method, headers=headers, environ_overrides=_ELSEWHERE)):
                    yield f"{method} {path}", f"{role} | {Strangers.SERVED if role == EVERYBODY else strangers}"
                    break


def _is_let_in(reply: TestResponse) -> bool:
    if reply.location:
        return not reply.location.startswith("/login")
    return reply.status_code != 401 and (reply.get_json(silent=True) or {}).get("reason") != "access_denied"
