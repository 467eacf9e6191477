"""Prometheus' HTTP API, as far as series are read from it (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from sql_synthesizer.errors import ConfigurationError

TIMEOUT = 10.0
LIMIT = 50_000_000
"""Bytes of an answer at most."""
POINTS = 11_000
"""Points of a series that Prometheus returns at most."""

Labels = Mapping[str, str]
Series = dict[float, float]
"""Unix time -> value."""


class Prometheus:
    """Reads series; ``url`` is where the API is, without its path. Every method raises ConfigurationError."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"{_without_login(url)} is no address of Prometheus.",
                hint="It is like http://127.0.0.1:9090.",
            )
        self._url = url.rstrip("/")
        self._opener = urllib.request.build_opener()

    def read_now(self, expr: str) -> list[tuple[Labels, float]]:
        """The value of each series of an expression now."""
        found = self._get("/api/v1/query", query=expr)
        return [(series["metric"], float(series["value"][1])) for series in found]

    def read_range(self, expr: str, start: float, end: float, step: float) -> list[tuple[Labels, Series]]:
        """Each series of an expression between two moments, ``step`` seconds apart."""
        found = self._get("/api/v1/query_range", query=expr, start=f"{start:.3f}", end=f"{end:.3f}", step=f"{step:g}")
        return [(series["metric"], {float(at): float(value) for at, value in series["values"]}) for series in found]

    def _get(self, path: str, **parameters: str) -> list[Any]:
        query = urllib.parse.urlencode(parameters).encode()
        try:
            with self._opener.open(self._url + path, query, timeout=TIMEOUT) as reply:
                answer = json.loads(reply.read(LIMIT))
            return list(answer["data"]["result"])
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            why = f"{error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
            raise ConfigurationError(
                f"Prometheus at {_without_login(self._url)} gives no series: {why}.",
                hint="SQL_SYNTHESIZER_PROMETHEUS_URL or --prometheus names it.",
            ) from None


def _without_login(url: str) -> str:
    """An address as a message may show it: user, password and query can be secrets."""
    return re.sub(r"^([a-z+]*://)?.*@", r"\1", url.partition("?")[0], flags=re.IGNORECASE | re.DOTALL)
