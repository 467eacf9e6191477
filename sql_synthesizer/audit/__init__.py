"""The audit record: append-only JSON lines, durable before an answer leaves."""

from sql_synthesizer.audit.backwards import search_records
from sql_synthesizer.audit.log import AuditLog
from sql_synthesizer.audit.reading import RecordFilter, read_records
from sql_synthesizer.audit.record import Record
from sql_synthesizer.audit.redact import redact_sql

__all__ = ["AuditLog", "Record", "RecordFilter", "read_records", "redact_sql", "search_records"]
