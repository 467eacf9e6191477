"""Parts of a running service's state that somebody removes: noticed, told, and healed or refused."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.serving import Service, fetch, service, until

REQUIRED = {"store.sqlite": "store", "audit.key": "security_audit"}


def reasons(served: Service) -> list[str]:
    reply = fetch(served.url + "/health/ready")
    return list(reply.json().get("reasons", ())) if reply.status == 503 else []


def scraped(served: Service, **labels: str) -> bool:
    try:
        return served.counted("dependency_up", **labels) == 1
    except (OSError, ValueError):
        return False


def remove_for_a_while(served: Service, name: str, dependency: str) -> None:
    until(lambda: scraped(served, dependency=dependency))
    aside = served.state.parent / name
    (served.state / name).rename(aside)
    until(lambda: any(dependency in reason for reason in reasons(served)))
    until(lambda: not scraped(served, dependency=dependency))
    aside.rename(served.state / name)
    until(lambda: fetch(served.url + "/health/ready").status == 200)


def test_what_is_removed_is_told_and_metrics_are_made_anew(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        for name, dependency in REQUIRED.items():
            remove_for_a_while(served, name, dependency)
        told = served.out.read_text()
        assert "the file of the store was removed or replaced" in told
        assert "audit.key is gone" in told
        shutil.rmtree(served.state / "metrics")
        until(lambda: "was gone: counters begin anew" in served.out.read_text())
        until(lambda: scraped(served, dependency="store"))
        until(lambda: served.counted("metrics_directory_losses_total") == 1)
        assert served.ask("how many customers are there").status == 200
        until(lambda: served.counted("queries_total") == 1)
        assert served.stop() == 0


def test_another_file_of_the_name_is_not_the_store(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        (served.state / "store.sqlite").rename(tmp_path / "store.sqlite")
        shutil.copy(tmp_path / "store.sqlite", served.state / "store.sqlite")
        until(lambda: any("store" in reason for reason in reasons(served)))
        assert served.stop() == 0
