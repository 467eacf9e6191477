"""``sql-synthesizer inbox``: a local place for mail, Slack messages and webhooks, to try alerts out."""

from __future__ import annotations

import os
import signal
import threading

import click

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.operate.inbox import Inbox
from sql_synthesizer.settings import format_address


@click.command("inbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--smtp-port", default=1025, show_default=True, help="Port for mail.")
@click.option("--http-port", default=8025, show_default=True, help="Port for the page, Slack messages and webhooks.")
def command(host: str, smtp_port: int, http_port: int) -> None:
    """Catch alerts on this machine and show them on a page, until interrupted."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        inbox = Inbox(host=host, smtp_port=smtp_port, http_port=http_port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unusable address"
        raise ConfigurationError(
            f"The inbox cannot listen on {host}, ports {smtp_port} and {http_port}: {reason}.",
            hint="Choose others with --smtp-port and --http-port.",
        ) from None
    with inbox:
        base = f"http://{format_address(host, inbox.http_port)}"
        click.echo(
            f"Page      {base}/\nSlack     {base}/slack\nWatchdog  {base}/watchdog\nWebhook   {base}/webhook\n"
            f"SMTP      {format_address(host, inbox.smtp_port)}",
            err=True,
        )
        stop.wait()
