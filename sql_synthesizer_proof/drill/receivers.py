"""Who is notified: the receivers of the shipped Alertmanager file, and where each kind of message to them goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from sql_synthesizer.operate.watchers import shipped_path
from sql_synthesizer_proof.rules import find_route


@cache
def _load_config() -> Any:
    return yaml.safe_load(shipped_path("monitoring/alertmanager/config.yml").read_text(encoding="utf-8"))


def load_receivers() -> dict[str, dict[str, str]]:
    """Receiver -> kind of message, as the inbox names it -> its address."""
    return {receiver["name"]: dict(_read_addresses(receiver)) for receiver in _load_config()["receivers"]}


def _read_addresses(receiver: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from (("mail", mail["to"]) for mail in receiver.get("email_configs", ()))
    yield from (("slack", chat["channel"]) for chat in receiver.get("slack_configs", ()))
    yield from ((hook["url"].rpartition("/")[2], receiver["name"]) for hook in receiver.get("webhook_configs", ()))


def find_receiver(labels: Mapping[str, str]) -> str:
    """The receiver that an alert with these labels goes to."""
    return find_route(_load_config()["route"], labels)["receiver"]
