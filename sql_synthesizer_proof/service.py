"""The service as operators run it, as a child process with ports and state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from sql_synthesizer.operate.child import SERVE, Child
from sql_synthesizer.operate.programs import free_port, is_answering
from sql_synthesizer.operate.traffic import Client
from sql_synthesizer.settings import child_environment


class ServiceProcess:
    """``sql-synthesizer serve`` in ``home``, not started; ``settings`` are by name, ``command`` runs it."""

    def __init__(self, home: Path, settings: Mapping[str, object], *, command: Sequence[str] = SERVE) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.state = home / "state"
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.metrics_address = f"127.0.0.1:{self.metrics_port}"
        given = {
            "port": self.port,
            "metrics_port": self.metrics_port,
            "state_dir": self.state,
            "auth": "required",
            "drain_seconds": 0.1,
            **settings,
        }
        self.environment = child_environment(given)
        self.child = Child("The service", command, self._is_ready, home / "service.log", environment=self.environment)

    def __enter__(self) -> Self:
        self.child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    def _is_ready(self) -> bool:
        return is_answering(f"{self.url}/health/ready") and is_answering(f"http://{self.metrics_address}/metrics", 5.0)

    @property
    def key(self) -> str:
        """The operator's key that was made at the first start."""
        return (self.state / "first-api-key").read_text(encoding="ascii").strip()

    def client(self, key: str | None = None) -> Client:
        """A caller with this key, by default the operator's."""
        return Client(self.url, self.key if key is None else key)
