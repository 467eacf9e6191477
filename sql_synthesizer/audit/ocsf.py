"""Audit records as events of the Open Cybersecurity Schema Framework, version 1.6 (schema.ocsf.io)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal, get_args

from sql_synthesizer import __version__
from sql_synthesizer.audit.record import Record
from sql_synthesizer.telemetry import vocabulary

VERSION = "1.6.0"
ACCOUNT_CHANGE, AUTHENTICATION, DETECTION_FINDING, API_ACTIVITY = 3001, 3002, 2004, 6003
"""Class uids; the thousands are the category."""
SUCCESS, FAILURE, OTHER = 1, 2, 99
NEW = 1
"""What ``status_id`` says of a finding that nobody has looked at."""
SEVERITY_ID = {"info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}

Attributes = dict[str, object]
"""Attributes of an event, or of an object in one."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """The class and activity of an event type; ``activities`` are by what a detail of the record says."""

    class_uid: int
    activity_id: int = OTHER
    status_id: int = SUCCESS
    detail: str = ""
    activities: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


_FINDING = Mapped(DETECTION_FINDING, activity_id=1, status_id=NEW)
_READ = Mapped(API_ACTIVITY, activity_id=2)
_FAILED = Mapped(API_ACTIVITY, status_id=FAILURE)

MAPPING: dict[str, Mapped] = {
    "authentication_failure": Mapped(AUTHENTICATION, activity_id=1, status_id=FAILURE),
    "authentication_success": Mapped(AUTHENTICATION, activity_id=1),
    "credential_change": Mapped(ACCOUNT_CHANGE, detail="change", activities={"created": 1, "rotated": 3, "revoked": 5}),
    "access_denied": _FINDING,
    "csrf_failure": _FINDING,
    "rate_limit_exceeded": _FINDING,
    "request_too_large": _FAILED,
    "invalid_request": _FAILED,
    "sql_injection_attempt": _FINDING,
    "prompt_injection_attempt": _FINDING,
    "suspicious_input": _FINDING,
    "statement_rejected": _FINDING,
    "query_execution": _READ,
    "schema_access": _READ,
    "sensitive_data_access": _READ,
    "result_export": _READ,
    "job_change": Mapped(API_ACTIVITY, 3, detail="change", activities={"submitted": 1, "cancelled": 4}),
    "schedule_change": Mapped(API_ACTIVITY, 3, detail="change", activities={"created": 1, "deleted": 4}),
    "answer_rated": Mapped(API_ACTIVITY, 1),
    "audit_access": Mapped(
        API_ACTIVITY, 2, detail="action", activities={"erase": 3, "rotate-key": 1, "retire": 4, "retired": 4}
    ),
    "audit_verification_failed": _FINDING,
    "answer_withheld": _FAILED,
    "unexpected_error": _FAILED,
    vocabulary.OTHER: Mapped(API_ACTIVITY, status_id=0),
}
"""Event type -> what it is in the schema: attacks and refusals are findings, what callers did is API activity."""

_PRODUCT = {"name": "sql_synthesizer", "vendor_name": "sql_synthesizer", "version": __version__}
_MAPPED_FIELDS = frozenset(
    ("time", "event_type", "severity", "trace_id", "actor", "address", "count", "writer", "sequence")
)
_Text = Literal["event_type", "severity", "trace_id", "actor", "address", "writer", "time"]
_TEXTS: tuple[_Text, ...] = get_args(_Text)


def ocsf_event(record: Record) -> Attributes:
    """The event of a record; what the class has no attribute for stands under ``unmapped``."""
    record = _complete_record(record)
    name, details = record["event_type"], record["details"]
    mapped = MAPPING.get(name, MAPPING[vocabulary.OTHER])
    activity = mapped.activities.get(str(details.get(mapped.detail)), mapped.activity_id)
    moment = _epoch_milliseconds(record["time"])
    made = {
        "activity_id": activity,
        "category_uid": mapped.class_uid // 1000,
        "class_uid": mapped.class_uid,
        "type_uid": mapped.class_uid * 100 + activity,
        "time": moment,
        "severity_id": SEVERITY_ID.get(record["severity"], 0),
        "status_id": _status_id(mapped, details),
        "message": _event_title(name),
        "count": record["count"],
        "metadata": {
            "version": VERSION,
            "product": _PRODUCT,
            "uid": _record_uid(record),
            "correlation_uid": record["trace_id"],
            "event_code": name,
            "log_name": "audit",
            "sequence": record["sequence"],
            "original_time": record["time"],
        },
        "unmapped": {field: value for field, value in record.items() if field not in _MAPPED_FIELDS},
    }
    if activity == OTHER:
        made["activity_name"] = str(details.get(mapped.detail, name))
    return made | _class_attributes(mapped.class_uid, record, moment)


def _complete_record(record: Record) -> Record:
    """The record with all that every sound one has; an unsound one may lack it."""
    count, details, complete = record.get("count"), record.get("details"), record.copy()
    for name in _TEXTS:
        complete[name] = str(record.get(name, ""))
    complete["count"] = max(1, int(count)) if isinstance(count, int | float) else 1
    complete["details"] = details if isinstance(details, dict) else {}
    return complete


def _epoch_milliseconds(moment: str) -> int:
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1000)
    except ValueError:
        return 0


def _class_attributes(class_uid: int, record: Record, moment: int) -> Attributes:
    """The attributes that only events of this class have."""
    name, details, source = record["event_type"], record["details"], _source_endpoint(record)
    actor, service = {"user": _user_object(record["actor"])}, {"name": _PRODUCT["name"]}
    if class_uid == DETECTION_FINDING:
        about = {"uid": _record_uid(record), "title": _event_title(name), "created_time": moment}
        evidence = {"actor": actor, "src_endpoint": source}
        return {"finding_info": about, "evidences": [evidence], "is_alert": record["severity"] in ("high", "critical")}
    if class_uid == API_ACTIVITY:
        action = details.get("action", "")
        operation = f"{name} {action}".rstrip() if isinstance(action, str) else name
        api = {"operation": operation, "service": service, "request": {"uid": record["trace_id"]}}
        return {"api": api, "actor": actor, "src_endpoint": source}
    if class_uid == AUTHENTICATION:
        who = details.get("identity") or details.get("key") or record["actor"]
        cause = {"status_detail": str(details["cause"])} if "cause" in details else {}
        return {"user": _user_object(who), "service": service, "src_endpoint": source, **cause}
    return {"user": _user_object(details.get("key")), "actor": actor, "src_endpoint": source}


def _status_id(mapped: Mapped, details: Attributes) -> int:
    failed = mapped.class_uid == API_ACTIVITY and details.get("outcome", "answered") != "answered"
    return FAILURE if failed else mapped.status_id


def _record_uid(record: Record) -> str:
    return f"{record['writer']}:{record['sequence']}"


def _event_title(name: str) -> str:
    return vocabulary.SECURITY_EVENTS.get(name, vocabulary.SECURITY_EVENTS[vocabulary.OTHER]).help


def _user_object(identity: object) -> Attributes:
    """A user; type 0 where nobody has proved who it is."""
    return {"uid": str(identity)} if identity else {"name": "unknown", "type_id": 0}


def _source_endpoint(record: Record) -> Attributes:
    """Where it came from: an address, or this host where a command was typed."""
    try:
        return {"ip": str(ipaddress.ip_address(record["address"]))}
    except ValueError:
        return {"name": record["address"] or "local"}
