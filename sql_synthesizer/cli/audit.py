"""``sql-synthesizer audit``: who asked what, when, with what result; and whether the record still says so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from sql_synthesizer.audit import lifecycle, search_records
from sql_synthesizer.audit.anchor import read_anchors
from sql_synthesizer.audit.export import FORMATS, table_rows
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.reading import RecordFilter, filter_records
from sql_synthesizer.audit.record import Record
from sql_synthesizer.audit.redact import value_hashes
from sql_synthesizer.audit.stamp import Stamp
from sql_synthesizer.audit.verdict import VerificationReport, VerificationState
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.cli.session import open_rooms, record_command
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import write_file
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.web.csv import csv_lines

if TYPE_CHECKING:
    from sql_synthesizer.wiring import Rooms

FULL_EVERY = 86_400.0
"""Seconds after which a verification that could go on from the last one reads everything again."""


def _encode_csv(records: Iterable[Record]) -> Iterator[bytes]:
    return (line.encode() for line in csv_lines(table_rows(records)))


EXPORTS: Mapping[str, Callable[[Iterable[Record]], Iterator[bytes]]] = {**FORMATS, "csv": _encode_csv}
"""Format -> what makes the lines of a file."""


class MomentParam(click.ParamType[datetime]):
    """A moment in ISO 8601; UTC unless it says otherwise."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment that the text says; anything else is a usage error."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is not an ISO 8601 moment such as 2030-01-31 or 2030-01-31T12:00:00Z.", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.group("audit")
def command() -> None:
    """Search, verify, export and keep the audit record; each use of it leaves a record itself."""


@contextmanager
def recorded_access(action: str, **details: Any) -> Iterator[Rooms]:
    """The rooms, once it is on record that somebody uses the audit record; also when only its reserve is left."""
    with open_rooms(audit_reserve_bytes=0) as rooms, record_command(rooms):
        rooms.telemetry.emit(vocabulary.SECURITY_EVENTS["audit_access"], action=action, **details)
        rooms.telemetry.settle()
        yield rooms


@contextmanager
def reading_record(action: str, *, copy: bool, **details: Any) -> Iterator[tuple[Settings, Keyring]]:
    """The settings and the keys of the record, once its use is on record; of a copy nothing is, nor written."""
    if copy:
        settings = load()
        yield settings, Keyring(settings.audit_key_path, make=False)
        return
    with recorded_access(action, **details) as rooms:
        yield rooms.settings, rooms.audit.keyring


_COPY_OPTION = click.option("--copy", is_flag=True, help="The record is a copy, or evidence: write nothing.")
_FILTER_OPTIONS = (
    click.option("--event", "event_type", type=click.Choice(sorted(vocabulary.SECURITY_EVENTS)), metavar="NAME"),
    click.option("--severity", type=click.Choice(vocabulary.SEVERITY.values)),
    click.option("--actor", help="Key id, 'local' or 'cli:USER'."),
    click.option("--trace", "trace_id", help="Trace id of a reply or a log line."),
    click.option("--question", "question_id", help="Question id of a reply."),
    click.option("--value", help="A literal of a statement, or a hashed question; found by its hashes."),
    click.option(
        "--since", type=MomentParam(), help="Not before this moment (ISO 8601; UTC unless it says otherwise)."
    ),
    click.option("--until", type=MomentParam(), help="Before this moment."),
    _COPY_OPTION,
)


def add_filter_options(function: Any) -> Any:
    """Adds the options that say which records match."""
    for option in reversed(_FILTER_OPTIONS):
        function = option(function)
    return function


@command.command()
@add_filter_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
def search(limit: int, *, copy: bool, **options: Any) -> None:
    """Print the newest matching records, oldest first, as JSON lines."""
    filters = _recorded_filters({**options, "limit": limit})
    with reading_record("search", copy=copy, search=filters) as (settings, keyring):
        for record in search_records(settings.audit_path, _make_filter(keyring, **options), limit=limit):
            click.echo(orjson.dumps(record).decode())


@command.command()
@add_filter_options
@click.option("--format", "name", type=click.Choice(sorted(EXPORTS)), default="jsonl", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File, made for its owner only.")
def export(name: str, output: Path | None, *, copy: bool, **options: Any) -> None:
    """Write every matching record, oldest first, as JSON lines, as CSV, or as OCSF 1.6 events for a SIEM."""
    told = {"format": name, "output": str(output or "-"), "search": _recorded_filters(options)}
    with reading_record("export", copy=copy, **told) as (settings, keyring):
        lines = EXPORTS[name](filter_records(settings.audit_path, _make_filter(keyring, **options)))
        if output is None:
            sys.stdout.buffer.writelines(lines)
        else:
            try:
                write_file(output, lines)
            except OSError as error:
                raise ConfigurationError(f"The file {output} cannot be written: {error.strerror}.") from None


@command.command()
@click.argument("text")
@_COPY_OPTION
def value(text: str, *, copy: bool) -> None:
    """Print how a value stands in the record: the hash of a literal, and that of a hashed question, for each key."""
    with reading_record("value", copy=copy) as (_, keyring):
        for key in keyring:
            literal, question = value_hashes(text, key.values)
            click.echo(f"key {key.id}  literal {literal}  question {question}")


@command.command()
@click.option("--anchor", "anchors", type=click.Path(path_type=Path), multiple=True, help="File of shipped log lines.")
@click.option(
    "--fingerprint",
    "fingerprints",
    type=click.FloatRange(0, 2**53),
    multiple=True,
    help="A value of the checkpoint metric.",
)
@click.option("--incremental", is_flag=True, help="Go on from the last verification; everything once a day.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
@click.option("--log", is_flag=True, help="Print only what the service would log: an event when it is not sound.")
@_COPY_OPTION
def verify(
    anchors: tuple[Path, ...],
    fingerprints: tuple[float, ...],
    *,
    incremental: bool,
    as_json: bool,
    log: bool,
    copy: bool,
) -> None:
    """Check every record against the chain; ends with status 1, naming the first bad record, when one is bad."""
    checkpoints = [checkpoint for path in anchors for checkpoint in read_anchors(path)]
    if anchors and not checkpoints:
        raise ConfigurationError("The anchor files hold no checkpoints.", hint="They are lines of the service's log.")

    def check(settings: Settings, keyring: Keyring) -> VerificationReport:
        state = VerificationState.load(settings.audit_state_path, keyring)
        fresh = 0 <= datetime.now(UTC).timestamp() - state.full_at < FULL_EVERY
        return verify_record(
            settings.audit_path,
            keyring,
            since=state if incremental and fresh and not checkpoints and not fingerprints else None,
            known=state,
            anchors=checkpoints,
            fingerprints=[int(number) for number in fingerprints],
        )

    if copy:
        settings = load()
        report = check(settings, Keyring(settings.audit_key_path, make=False))
    else:
        with open_rooms(log=log, audit_reserve_bytes=0) as rooms:
            report = check(rooms.settings, rooms.audit.keyring)
            if report.sound and not report.empty:
                report.state.save(rooms.settings.audit_state_path, rooms.audit.keyring.current)
            elif not report.sound:
                _report_failure(rooms, report)
    if not log:
        click.echo(orjson.dumps(_report_fields(report)).decode() if as_json else _format_report(report))
    sys.exit(0 if report.sound and (log or not report.empty) else 1)


@command.command()
@click.option("--days", type=click.IntRange(1), help="Default: the setting audit_retention_days.")
@click.option("--all", "whole", is_flag=True, help="Also more than a week of records at once.")
@click.option("--trust-clock", is_flag=True, help="The clock is right, though it went ahead of what can be believed.")
def retire(days: int | None, *, whole: bool, trust_clock: bool) -> None:
    """Remove segments older than so many days that the last verification found sound.

    One run removes at most a week of records. Days are counted by the time that is known to have passed: a clock that
    jumped removes nothing.
    """
    with recorded_access("retire", days=days, whole=whole, trust_clock=trust_clock) as rooms:
        settings, keyring = rooms.settings, rooms.audit.keyring
        days = days or settings.audit_retention_days
        if days is None:
            raise ConfigurationError("Nothing says how long records are kept.", hint="Give --days, or set the setting.")
        state = VerificationState.load(settings.audit_state_path, keyring)
        if trust_clock and state.stamp is not None:
            state.stamp = Stamp.take()
            state.save(settings.audit_state_path, keyring.current)
        lead = state.stamp.advance().lead / lifecycle.DAY if state.stamp else 0.0
        span = None if whole else lifecycle.SPAN_DAYS
        limit = lifecycle.retention_limit(state, days)
        removed = lifecycle.retire_segments(settings.audit_path, keyring, state, limit, span=span)
        rooms.telemetry.emit(
            vocabulary.SECURITY_EVENTS["audit_access"],
            action="retired",
            segments=removed,
            removed=len(removed),
            before=limit,
            clock_days_ahead=round(lead, 3),
        )
    click.echo(f"{len(removed)} segments removed" + "".join(f"\n  {name}" for name in removed))
    if lead >= 1:
        click.echo(
            f"The clock is {lead:.1f} days ahead of the time that is known to have passed, and records are kept by "
            "that time. If the clock is right: audit retire --trust-clock.",
            err=True,
        )


@command.command()
@click.option("--question", "question_id", help="Question id of a reply.")
@click.option("--actor", help="Every question of this caller.")
def erase(question_id: str | None, actor: str | None) -> None:
    """Take the text of questions out of the record; that they were asked, by whom and with what result stays."""
    if not question_id and not actor:
        raise ConfigurationError("Say whose text is to be erased.", hint="Give --question ID or --actor NAME.")
    asked = {name: given for name, given in (("question_id", question_id), ("actor", actor)) if given}
    with recorded_access("erase", erase=asked) as rooms:
        settings = rooms.settings
        count = lifecycle.erase_texts(
            settings.audit_path, rooms.audit.keyring, lambda record: asked.items() <= record.items()
        )
    click.echo(f"The text of {count} records was erased. The history of the store keeps its own copy.")


@command.command("rotate-key")
def rotate_key() -> None:
    """Make another key for the record; the old ones stay in the key file for verifying."""
    with recorded_access("rotate-key") as rooms:
        key = lifecycle.rotate_key(rooms.settings.audit_path, rooms.audit.keyring)
    click.echo(f"Key {key.id} seals from now on; running services take it up within seconds.")


def _make_filter(keyring: Keyring, value: str | None, **options: Any) -> RecordFilter:
    """The filter that the options stand for: a value is looked for by its hashes."""
    hashes = [form for key in keyring for form in value_hashes(value, key.values)] if value else []
    return RecordFilter(**options, hashes=hashes)


def _recorded_filters(options: Mapping[str, object]) -> dict[str, str]:
    """The search as it is recorded: without the value, which is only hashed in the record."""
    return {name: str(value) for name, value in options.items() if value is not None and name != "value"}


def _report_failure(rooms: Rooms, report: VerificationReport) -> None:
    first = report.faults[0]
    with record_command(rooms):
        rooms.telemetry.emit(
            vocabulary.SECURITY_EVENTS["audit_verification_failed"],
            faults=report.faults_total,
            kind=first.kind,
            file=first.file,
            writer=first.writer,
            sequence=first.sequence,
        )


def _report_fields(report: VerificationReport) -> dict[str, object]:
    return {"sound": report.sound, **{name: value for name, value in asdict(report).items() if name != "state"}}


def _format_report(report: VerificationReport) -> str:
    read = f"{report.records:,} records in {report.segments} segments of {report.writers} writers"
    lines = [f"{read}, {report.anchors} anchors, {report.seconds} s", *(f"note: {note}" for note in report.notes)]
    if report.empty:
        return "There is no audit record here: none was made yet, or it was removed with its manifest."
    if report.sound:
        return "\n".join(["The audit record is sound: " + lines[0], *lines[1:]])
    first, *others = report.faults
    more = report.faults_total - len(report.faults)
    lines += [f"first bad record: {first}", *(f"then: {fault}" for fault in others)] + [f"and {more} more"] * bool(more)
    return "\n".join(["The audit record is NOT sound: " + lines[0], *lines[1:]])
