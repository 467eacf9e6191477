"""Runs each command of the command line to a good end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

from sql_synthesizer.model import Role
from sql_synthesizer.operate.child import Child, own_command
from sql_synthesizer.operate.programs import free_port
from sql_synthesizer.settings import child_environment
from sql_synthesizer_proof.coverage import foreign
from sql_synthesizer_proof.coverage.asking import ask
from sql_synthesizer_proof.coverage.canaries import write_one
from sql_synthesizer_proof.coverage.faults import ANEW
from sql_synthesizer_proof.coverage.instance import Instance, random_text
from sql_synthesizer_proof.coverage.jobs import submit
from sql_synthesizer_proof.coverage.path import Path
from sql_synthesizer_proof.servers import is_listening
from sql_synthesizer_proof.service import ServiceProcess

COUNT = "how many customers are there"


def drive_command(instance: Instance, path: Path) -> str:
    """Runs a command. Raises RuntimeError where it does not end well, LookupError where nobody knows its arguments."""
    if (run := LASTING.get(path.surface)) is not None:
        run(instance)
        return ""
    arguments = _ARGUMENTS[path.surface](instance)
    with instance.new_trace() as (trace_id, _):
        settings: Mapping[str, Mapping[str, object]] = {
            "store restore": {"state_dir": instance.home / "restored"},
            "canaries": {"canary_file": write_one(instance)},
        }
        status, printed = instance.command(*path.surface.split(), *arguments, **settings.get(path.surface, {}))
    if status:
        raise RuntimeError(f"it ended with {status}: {printed[-200:]}")
    return trace_id


def _key_id(instance: Instance) -> str:
    return instance.rooms.access.keys.create_key("coverage", Role.VIEWER).split("_")[1]


def _schedule_id(instance: Instance) -> str:
    body = {"questions": [COUNT], "database": "plain", "cron": "0 7 * * *"}
    return str(instance.send_request("POST", "/api/schedules", body).json()["id"])


def _file(instance: Instance, suffix: str) -> str:
    return str(instance.home / f"{random_text()}.{suffix}")


def _backup(instance: Instance) -> str:
    file = _file(instance, "backup")
    instance.command("store", "backup", file)
    return file


_ARGUMENTS: Mapping[str, Callable[[Instance], list[str]]] = {
    "ask": lambda _: [ANEW.format(random_text()), "--name", "plain"],
    "jobs submit": lambda _: [ANEW.format(random_text()), "--name", "plain"],
    "jobs list": lambda _: [],
    "jobs show": lambda instance: [submit(instance)],
    "jobs cancel": lambda instance: [submit(instance, questions=["please never stop"] * 3, database="shop")],
    "jobs results": lambda instance: [submit(instance)],
    "schedules create": lambda _: ["0 7 * * *", COUNT],
    "schedules list": lambda _: [],
    **{
        f"schedules {verb}": lambda instance: [_schedule_id(instance)] for verb in ("show", "pause", "resume", "delete")
    },
    "keys create": lambda _: ["coverage"],
    "keys assign": lambda instance: [_key_id(instance), "sales"],
    "canaries": lambda _: [],
    "report": lambda _: [],
    "keys list": lambda _: [],
    "keys limit": lambda instance: [_key_id(instance), "10/minute"],
    "keys rotate": lambda instance: [_key_id(instance)],
    "keys revoke": lambda instance: [_key_id(instance)],
    "trace": lambda instance: [ask(instance, "query", COUNT, "plain")],
    "traces": lambda _: [],
    "audit search": lambda _: ["--limit", "1"],
    "audit export": lambda instance: ["--output", _file(instance, "jsonl")],
    "audit value": lambda _: ["value"],
    "audit verify": lambda _: [],
    "audit retire": lambda _: ["--days", "1"],
    "audit erase": lambda _: ["--actor", "nobody"],
    "audit rotate-key": lambda _: [],
    "store backup": lambda instance: [_file(instance, "backup")],
    "store restore": lambda instance: [_backup(instance)],
    "demo create": lambda instance: [_file(instance, "sqlite")],
    "demo load": lambda instance: [foreign.make_database(instance)],
}
"""Command -> what is given to it."""


# --- commands that run until they are stopped -------------------------------------------------


def _serve(instance: Instance) -> None:
    with ServiceProcess(instance.home / "served", {"audit_verify_minutes": 0}):
        pass


def _work(instance: Instance) -> None:
    port = free_port()
    environment = child_environment({"state_dir": instance.home / "worked", "metrics_port": port})
    ready = lambda: is_listening(port)  # noqa: E731
    with Child("The worker", own_command("worker"), ready, instance.home / "worker.log", environment=environment):
        pass


def _catch(instance: Instance) -> None:
    port = free_port()
    command = own_command("inbox", "--smtp-port", str(free_port()), "--http-port", str(port))
    with Child("The inbox", command, lambda: is_listening(port), instance.home / "inbox.log"):
        pass


def _load(instance: Instance) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status, printed = instance.command("traffic", "--url", instance.url, "--key", instance.key, "--seconds", "0.5")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if status:
        raise RuntimeError(printed[-200:])


LASTING: Mapping[str, Callable[[Instance], None]] = {
    "serve": _serve,
    "worker": _work,
    "inbox": _catch,
    "traffic": _load,
}
