"""``sql-synthesizer traffic``: ordinary load on a running service."""

from __future__ import annotations

import json
import re
import signal
import threading
from pathlib import Path

import click

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.operate.traffic import Client, Traffic, request_mix
from sql_synthesizer.settings import format_address, load

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("traffic")
@click.option("--url", help="Address of the service; by default the one that the settings name.")
@click.option("--key", help="API key, where the service asks for one.")
@click.option("--key-file", type=FILE, help="File that holds the API key.")
@click.option("--rate", type=click.FloatRange(0.01, 1000), default=1.5, show_default=True, help="Requests a second.")
@click.option("--seconds", type=click.FloatRange(0), default=60, show_default=True, help="How long to send.")
@click.option(
    "--attacks", type=click.FloatRange(0, 1, max_open=True), default=0.0, show_default=True, help="Share of attacks."
)
@click.option("--questions", type=FILE, help="File of further harmless questions, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(
    url: str | None,
    key: str | None,
    key_file: Path | None,
    rate: float,
    seconds: float,
    attacks: float,
    questions: Path | None,
    as_json: bool,
) -> None:
    """Send what people ask on an ordinary day, and print what was answered."""
    if url is None:
        settings = load()
        url = f"http://{format_address(settings.host, settings.port)}"
    key = key_file.read_text(encoding="utf-8").strip() if key_file else key or ""
    _check_service(url, key)
    further = [line.strip() for line in questions.read_text(encoding="utf-8").splitlines()] if questions else []
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Traffic(url, key, rate, request_mix([line for line in further if line], attacks)) as traffic:
        stop.wait(seconds)
    rows = [(kind, answer, count) for (kind, answer), count in traffic.sent.most_common()]
    if as_json:
        click.echo(json.dumps([{"kind": kind, "answer": answer, "count": count} for kind, answer, count in rows]))
        return
    for kind, answer, count in [("kind", "answer", "count"), *rows]:
        click.echo(f"{kind:<16}{answer:<28}{count:>5}")
    click.echo(f"({traffic.sent.total()} requests)")


def _check_service(url: str, key: str) -> None:
    if not re.fullmatch(r"http://[^/]+/?", url):
        raise ConfigurationError(f"{url} is not the address of a service.", hint="Write it as http://host:port.")
    with Client(url, key) as client:
        answer = client.send("GET", "/api/me")
    if answer == "unreachable":
        raise ConfigurationError(
            f"No service answers at {url}.", hint="Start it with 'sql-synthesizer serve', or name another with --url."
        )
    if answer.startswith("401"):
        raise ConfigurationError(f"The service at {url} asks for a key.", hint="Give one with --key or --key-file.")
