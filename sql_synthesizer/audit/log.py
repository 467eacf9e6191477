"""The audit log: records are appended in memory and made durable by whoever waits for them.

Group commit without a thread in between: the first caller that has to wait writes and syncs everything
appended so far; those that come meanwhile sleep. When the sync is done it wakes everyone it covered and
hands the lead to the first it did not.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sql_synthesizer.audit.anchor import Checkpoints
from sql_synthesizer.audit.folding import Folding
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.record import Encoder, add_position
from sql_synthesizer.audit.segment import RecordBody, Segments
from sql_synthesizer.audit.stamp import Lead
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer.audit.volume import ADVICE, Volume
from sql_synthesizer.errors import AuditUnavailable, ConfigurationError
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Event, Telemetry, vocabulary

PENDING_RECORDS = 10_000
"""Records that may wait to be written."""
PENDING_BYTES = 16_000_000
SETTLE_WAIT = 10.0
"""Seconds that a caller waits for others' writes at most."""
IDLE_COMMIT = 1.0
"""Seconds after which records that nobody waits for are written, and refusals that were folded."""
PROBE_INTERVAL = 5.0
"""Seconds for which a write proves that the directory can be written."""

_NEVER = 1 << 63
"""A ticket that no write covers: who waits for it gets the lead."""

_logger = logging.getLogger(__name__)
_logs: weakref.WeakSet[AuditLog] = weakref.WeakSet()


class _Waiter:
    """A caller that needs everything up to ``ticket``; ``turn`` is let go when it is woken."""

    __slots__ = ("failed", "leads", "ticket", "turn")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.leads = self.failed = False
        self.turn = threading.Lock()
        self.turn.acquire()


class AuditLog:
    """The recorder of one process: its records are durable in ``settings.audit_path`` when ``settle`` returns.

    In batched mode ``settle`` returns at once while writes succeed; a crash loses at most what was appended in the
    last ``settings.audit_batch_seconds``, which ``pending`` counts. A child made by ``fork`` is a writer of its own
    that starts empty. The key for hashes is beside the directory; raises ConfigurationError when it cannot be made.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self.directory = settings.audit_path
        self.keyring = Keyring(settings.audit_key_path)
        self._encoder = Encoder(self.keyring.current.values, hashed=settings.audit_question_text == "hashed")
        self._volume = Volume(self.directory, settings.audit_reserve_bytes)
        self._segment_bytes = settings.audit_segment_bytes
        self._telemetry = telemetry
        self._low = False
        self._key_fault = ""
        self._batched = settings.audit_mode == "batched"
        self._interval = settings.audit_batch_seconds if self._batched else IDLE_COMMIT
        self._closed = False
        self._init_process_state()
        _logs.add(self)
        telemetry.read(vocabulary.AUDIT_FREE_BYTES, lambda: _gauge_samples(self._volume.free_bytes()))
        telemetry.read(vocabulary.AUDIT_PENDING, lambda: _gauge_samples(self.pending))
        lead, path = Lead(), settings.audit_state_path
        telemetry.read(
            vocabulary.AUDIT_CLOCK_LEAD,
            lambda: _gauge_samples(lead.read(path, lambda: VerificationState.load(path, self.keyring).stamp)),
        )
        telemetry.read(vocabulary.AUDIT_FINGERPRINT, lambda: _gauge_samples(self._checkpoints.fingerprint))
        born = time.time()
        telemetry.read(
            vocabulary.AUDIT_VERIFIED, lambda: _gauge_samples(_modification_time(settings.audit_state_path) or born)
        )

    def _init_process_state(self) -> None:
        """Makes what belongs to one process: its name, its files, its locks and what waits to be written."""
        self._segments = Segments(self.directory, self._segment_bytes, self.keyring)
        self._checkpoints = Checkpoints(self._segments, self.keyring, self._telemetry)
        self._writer = self._segments.writer.encode()
        self._folding = Folding()
        self._mutex = threading.Lock()
        self._pending: list[RecordBody] = []
        self._pending_bytes = 0
        self._durable = 0
        self._leading = False
        self._failing = False
        self._waiting: list[_Waiter] = []
        self._written_at = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def writer(self) -> str:
        """The name of this process in the record."""
        return self._segments.writer

    @property
    def pending(self) -> int:
        """Records that are not durable yet: what a crash would lose now."""
        return len(self._pending) + len(self._folding)

    @property
    def failing(self) -> bool:
        """Whether it is known already that nothing may be answered."""
        return self._failing or self._volume.low

    # --- the recorder ------------------------------------------------------------------------

    def append(self, event: Event) -> int:
        """Takes the record in; the ticket is its sequence number, or that of the trace's last record if later.

        Refusals of strangers beyond a burst are folded and written within a second; nobody waits for those.
        Raises AuditUnavailable when too many records wait.
        """
        ticket = 0 if self._folding.absorb(event) else self._queue_record(event)
        if self._thread is None:
            self._start_thread()
        return max(ticket, event.trace.ticket)

    def settle(self, ticket: int) -> None:
        """Returns when every record up to ``ticket`` is durable. Raises AuditUnavailable.

        Also raises it, though the record is durable, when only the reserve of the volume is left.
        """
        may_lag = self._batched and not self._failing and len(self._pending) < PENDING_RECORDS // 2
        if ticket > self._durable and not may_lag:
            self._commit_ticket(ticket)
        self._check_volume()

    def close(self) -> None:
        """Writes what is left and lets go of the files; what could not be written is logged as lost."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=SETTLE_WAIT)
        self.flush()
        with self._mutex:
            self._closed = True
        self.flush()
        if self.pending:
            _logger.critical("%d audit records are lost: the audit directory could not be written", self.pending)
        with suppress(AuditUnavailable), self._hold_lead():
            self._segments.close()
        self._checkpoints.emit_checkpoint(now=True)

    def flush(self) -> None:
        """Writes what nobody waits for, folded refusals too; what cannot be written stays for later."""
        self._commit_all()
        merged = self._folding.take()
        if not merged:
            return
        with suppress(AuditUnavailable):
            while merged:
                self._queue_record(merged[-1])
                merged.pop()
        self._folding.give_back(merged)
        self._commit_all()

    def ping(self, timeout: float) -> None:
        """Raises AuditUnavailable when the key is gone or the directory cannot be written.

        A write in the last seconds is proof enough that it can.

        ``timeout``, in seconds, bounds the wait for other writers; the write itself cannot be interrupted.
        """
        self._check_volume()
        self._reload_key()
        if self._key_fault:
            raise AuditUnavailable
        with self._hold_lead(timeout):
            try:
                self._segments.check_place()
            except OSError as error:
                self._report_failure(error)
                raise AuditUnavailable from None
        if not self._failing and time.monotonic() - self._written_at < PROBE_INTERVAL:
            return
        last = self._last_ticket()
        if last > self._durable:
            self._commit_ticket(last, timeout)
            return
        with self._hold_lead(timeout):
            try:
                self._segments.probe()
            except OSError as error:
                self._report_failure(error)
                raise AuditUnavailable from None
            self._report_success()

    # --- appending ---------------------------------------------------------------------------

    def _queue_record(self, event: Event) -> int:
        body, question = self._encoder.body(event)
        with self._mutex:
            full = len(self._pending) >= PENDING_RECORDS or self._pending_bytes >= PENDING_BYTES
            if full or self._closed:
                raise AuditUnavailable
            sequence = self._durable + len(self._pending) + 1
            record = RecordBody(add_position(self._writer, sequence, body), question)
            self._pending.append(record)
            self._pending_bytes += _record_size(record)
            return sequence

    def _start_thread(self) -> None:
        with self._mutex:
            if self._thread is None and not self._closed and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run_thread, name="audit", daemon=True)
                self._thread.start()

    def _run_thread(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.flush()
                self._checkpoints.emit_checkpoint()
                self._reload_key()
            except Exception:
                _logger.exception("the upkeep of the audit log failed; it is tried again")

    def _reload_key(self) -> None:
        fault = ""
        try:
            self.keyring.reload()
        except ConfigurationError as error:
            fault = error.message
        if fault and fault != self._key_fault:
            gone = "" if self.keyring.path.exists() else f" The audit key {self.keyring.path} is gone."
            _logger.error("%s%s Put it back from its backup; the keys read before stay in use.", fault, gone)
        self._key_fault = fault
        self._encoder.key = self.keyring.current.values

    def _commit_all(self) -> None:
        with suppress(AuditUnavailable):
            self._commit_ticket(self._last_ticket())

    def _last_ticket(self) -> int:
        with self._mutex:
            return self._durable + len(self._pending)

    # --- committing --------------------------------------------------------------------------

    def _commit_ticket(self, ticket: int, timeout: float = SETTLE_WAIT) -> None:
        with self._mutex:
            if ticket <= self._durable:
                return
            waiter = self._request_lead(ticket)
        if (waiter is None or self._wait_for_lead(waiter, timeout)) and not self._write_pending():
            raise AuditUnavailable

    def _request_lead(self, ticket: int) -> _Waiter | None:
        """None when the caller leads from now on, else where it has to wait; under the mutex."""
        if self._leading:
            waiter = _Waiter(ticket)
            self._waiting.append(waiter)
            return waiter
        self._leading = True
        return None

    def _wait_for_lead(self, waiter: _Waiter, timeout: float) -> bool:
        """Waits until the caller leads or is covered. Raises AuditUnavailable when neither happens in time."""
        try:
            arrived = waiter.turn.acquire(timeout=max(0.0, timeout))
        except BaseException:
            if not self._remove_waiter(waiter) and waiter.leads:
                self._hand_over((), durable=False)
            raise
        withdrawn = not arrived and self._remove_waiter(waiter)
        if withdrawn or waiter.failed:
            raise AuditUnavailable
        return waiter.leads

    def _remove_waiter(self, waiter: _Waiter) -> bool:
        """Whether the waiter was still waiting; it no longer is."""
        with self._mutex:
            if waiter not in self._waiting:
                return False
            self._waiting.remove(waiter)
            return True

    def _write_pending(self) -> bool:
        """Writes everything pending, as the leader, and passes the lead on."""
        with self._mutex:
            batch = self._pending[:]
        durable = False
        try:
            self._segments.write(batch)
            durable = True
            self._report_success()
        except OSError as error:
            self._report_failure(error)
        finally:
            self._hand_over(batch, durable=durable)
        if durable:
            self._telemetry.emit(vocabulary.AUDIT_RECORDED, count=len(batch), sink="file")
        return durable

    def _hand_over(self, batch: Sequence[RecordBody], *, durable: bool) -> None:
        with self._mutex:
            reached = self._durable + len(batch)
            if durable:
                del self._pending[: len(batch)]
                self._pending_bytes -= sum(map(_record_size, batch))
                self._durable = reached
            covered = [waiter for waiter in self._waiting if waiter.ticket <= reached]
            for waiter in covered:
                waiter.failed = not durable
            self._waiting = [waiter for waiter in self._waiting if waiter.ticket > reached]
            heir = self._waiting.pop(0) if self._waiting else None
            if heir is not None:
                heir.leads = True
            self._leading = heir is not None
        for waiter in covered:
            waiter.turn.release()
        if heir is not None:
            heir.turn.release()

    @contextmanager
    def _hold_lead(self, timeout: float = SETTLE_WAIT) -> Iterator[None]:
        """The lead without a write, so that nobody else touches the files. Raises AuditUnavailable."""
        with self._mutex:
            waiter = self._request_lead(_NEVER)
        if waiter is not None:
            self._wait_for_lead(waiter, timeout)
        try:
            yield
        finally:
            self._hand_over((), durable=False)

    # --- how it goes -------------------------------------------------------------------------

    def _report_failure(self, error: OSError) -> None:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        if not self._failing:
            advice = ADVICE.get(error.errno or 0, "requests are refused until it can")
            _logger.error("the audit record in %s cannot be written (%s): %s", self.directory, name, advice)
        self._failing = True
        self._telemetry.emit(vocabulary.AUDIT_FAILURE, sink="file", error=name)

    def _report_success(self) -> None:
        if self._failing:
            _logger.warning("the audit record can be written again")
        self._failing = False
        self._written_at = time.monotonic()

    def _check_volume(self) -> None:
        low = self._volume.low
        if low != self._low:
            self._low = low
            what = "only the reserve is left; requests are refused" if low else "there is space again"
            _logger.log(logging.ERROR if low else logging.WARNING, "the audit volume: %s", what)
        if low:
            self._telemetry.emit(vocabulary.AUDIT_FAILURE, sink="file", error="reserve")
            raise AuditUnavailable("The audit volume has only its reserve left, so no answer may be given.")


def _record_size(record: RecordBody) -> int:
    return len(record.json) + len(record.text)


def _modification_time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _gauge_samples(value: float | None) -> list[tuple[dict[str, str], float]]:
    return [] if value is None else [({}, float(value))]


def _reset_after_fork() -> None:
    for log in list(_logs):
        log._segments.abandon()  # noqa: SLF001
        log._init_process_state()  # noqa: SLF001


os.register_at_fork(after_in_child=_reset_after_fork)
