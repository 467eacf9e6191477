"""The runbooks over HTTP, as text that every browser shows: ``python -m sql_synthesizer.operate.runbooks``."""

from __future__ import annotations

import argparse
from html import escape
from pathlib import Path
from urllib.parse import unquote

from sql_synthesizer.monitoring.http_server import HTML, HttpHandler, HttpServer


class _Pages(HttpHandler):
    server: HttpServer[Path]

    def do_GET(self) -> None:
        name = unquote(self.path.partition("?")[0]).removeprefix("/")
        pages = {path.name: path for path in sorted(self.server.owner.glob("*.md"))}
        if name in pages:
            self.send_reply(200, pages[name].read_bytes())
        elif name:
            self.send_reply(404, "There is no such runbook.")
        else:
            links = "".join(
                f'<li><a href="{escape(page)}">{escape(page.removesuffix(".md"))}</a></li>' for page in pages
            )
            self.send_reply(200, f"<!doctype html><title>Runbooks</title><h1>Runbooks</h1><ul>{links}</ul>", HTML)

    do_HEAD = do_GET


def main() -> None:
    """Serves the runbooks of a folder until the process is ended."""
    parser = argparse.ArgumentParser(description="Serves the runbooks of a folder.")
    parser.add_argument("port", type=int)
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--directory", type=Path, required=True)
    arguments = parser.parse_args()
    HttpServer(_Pages, arguments.directory, arguments.bind, arguments.port).serve_forever()


if __name__ == "__main__":
    main()
