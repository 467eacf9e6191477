"""The disk of the record fails: nothing is answered unrecorded, and the service recovers by itself."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sql_synthesizer.audit import read_records
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.operate.child import wait_until
from sql_synthesizer_proof.evidence.claim import Claim
from sql_synthesizer_proof.service import ServiceProcess, parse_samples
from sql_synthesizer_proof.volume import fill_volume, mount_volume, unmount_below

RESERVE = 4_000_000
VOLUME = "24m"
ASKED = 20
"""Questions while the fault lasts."""
RECOVERY = 15.0
"""Seconds within which the service answers again after the fault: a health check every 5 s notices."""
REFUSED = "503 audit_unavailable"


@contextmanager
def remount_read_only(place: Path) -> Iterator[None]:
    """The directory becomes read-only: what is open may still be written, nothing new can be."""
    record = place / "audit"
    try:
        for options in (["--bind", str(record)], ["-o", "remount,bind,ro"]):
            subprocess.run(["mount", *options, str(record)], capture_output=True, check=True)  # noqa: S603, S607
        yield
    finally:
        unmount_below(record)


FAULTS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "only the reserve is left": lambda place: fill_volume(place, RESERVE // 2),
    "the disk is full": fill_volume,
    "the directory is read-only": remount_read_only,
}


def prove_disk(home: Path) -> list[Claim]:
    """One claim for each fault, and one for the record afterwards."""
    place = home / "volume"
    with mount_volume(place, VOLUME) as made:
        if not made:
            return [Claim(f"{name}: nothing is answered unrecorded", "no right to mount", None) for name in FAULTS]
        settings: dict[str, object] = {
            "audit_dir": place / "audit",
            "audit_key_file": home / "audit.key",
            "audit_reserve_bytes": RESERVE,
            "audit_segment_bytes": 10_000,
            "rate_limit": "",
            "cache": "off",
        }
        answered: list[str] = []
        with ServiceProcess(home / "service", settings) as service:
            claims = [_prove_fault(name, service, fault(place), answered) for name, fault in FAULTS.items()]
        return [*claims, _prove_record(place / "audit", home / "audit.key", answered)]


def _prove_fault(name: str, service: ServiceProcess, fault: AbstractContextManager[None], answered: list[str]) -> Claim:
    failures = _count_failures(service)
    with service.client() as client:

        def ask_question() -> str:
            answer = client.send(
                "POST", "/api/query", {"question": f"how many products have price over {time.time():.6f}"}
            )
            if answer == "ok":
                answered.append(client.trace)
            return answer

        with fault:
            time.sleep(1.5)
            during = Counter(ask_question() for _ in range(ASKED))
            wait_until(lambda: _count_failures(service) > failures, 15, "the failure is counted")
        began = time.monotonic()
        wait_until(lambda: ask_question() == "ok", RECOVERY, "the service answers again")
        recovered = time.monotonic() - began
    answers = ", ".join(f"{count} x {answer}" for answer, count in during.items())
    return Claim(
        f"{name}: nothing is answered unrecorded",
        f"{answers}; failures counted; answered again {recovered:.1f} s after the fault",
        REFUSED in during and set(during) <= {REFUSED, "ok"},
    )


def _prove_record(place: Path, key: Path, answered: list[str]) -> Claim:
    recorded = {record["trace_id"] for record in read_records(place, report=lambda *_: None)}
    missing = [trace for trace in answered if trace not in recorded]
    report = verify_record(place, Keyring(key))
    first = f"; first: {report.faults[0]}" if report.faults else ""
    text = f"{len(answered)} answers, {len(missing)} without a record; {report.records} records{first}"
    return Claim("afterwards every answer is on record, and the chain verifies", text, report.sound and not missing)


def _count_failures(service: ServiceProcess) -> float:
    failures = parse_samples(service.exposition(), "sql_synthesizer_audit_write_failures_total")
    return sum(count for _, count in failures)
