"""HTTP requests beside questions."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import HERE, Case, Text, counter, own
from tests.rules.shapes import Ratio

ROUTE = f'route="/login",{HERE}'
requests = partial(own, "http_requests_total", route="/login", method="POST")
unserved = partial(own, "http_failures_total", route="/login")
served = partial(requests, status="2xx")
REQUEST_ERRORS = [
    *Ratio(
        "SqlSynthesizerRequestErrors",
        unserved,
        served,
        0.05,
        300,
        60,
        least=5,
        within=True,
        local=True,
        alerts=(ROUTE,),
    ).cases(),
    Case(
        "SqlSynthesizerRequestErrors",
        "one in ten, of two methods, while another route is busy and well",
        {
            unserved(): counter((600, 0.05)),
            requests(status="5xx"): counter((600, 0.05)),
            served(method="GET"): counter((600, 0.45)),
            served(route="/api/query"): counter((600, 100)),
            unserved(route="/api/query"): counter((600, 0)),
        },
        firing=(600,),
        alerts=(ROUTE,),
        text=Text(
            "critical",
            "Requests to /login fail",
            "10% of the requests to /login on a fail because of the service; questions are not among them.",
            "overview",
        ),
    ),
    Case(
        "SqlSynthesizerRequestErrors",
        "four failures, on each of two routes",
        {
            name(route=route): counter((900, 4 / 300))
            for route in ("/login", "/api/history")
            for name in (unserved, partial(requests, status="5xx"))
        },
        quiet=(900,),
    ),
]

CASES = (*REQUEST_ERRORS,)
