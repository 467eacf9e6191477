"""API keys: created, cached, changed and revoked, each change on the audit record first."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cachetools import TTLCache

from sql_synthesizer.errors import ConfigurationError, InvalidRequest, NotFound, StoreUnavailable
from sql_synthesizer.model import ApiKey, Role
from sql_synthesizer.settings import RATE_LIMIT
from sql_synthesizer.telemetry import Telemetry, vocabulary

KEY_TTL = 4.0
"""Seconds that a key is believed unchanged; a change reaches every process within these and one look at the store."""
KNOWN_TTL = 900.0
"""Seconds that a key goes on while the store does not answer, since the store last told of it."""
BACK_OFF = 2.0
"""Seconds after a failure in which the store is not asked for keys that are known."""
SLOW = 1.0
"""Seconds after which a store that has not answered somebody else is not waited for, if the key is known."""
UNLIMITED = "none"
"""The limit of a key that has none."""

log = logging.getLogger(__name__)


class KeyStore(Protocol):
    """Where API keys are stored. A change returns False when there is no such key, or it has been revoked."""

    def add_key(self, key: ApiKey) -> None: ...
    def get_key(self, key_id: str) -> ApiKey | None: ...
    def list_keys(self) -> list[ApiKey]: ...
    def revoke_key(self, key_id: str) -> bool: ...
    def limit_key(self, key_id: str, rate_limit: str) -> bool: ...
    def assign_key(self, key_id: str, team: str) -> bool: ...

    def rotate(self, key_id: str, replacement: ApiKey) -> bool:
        """Revokes a key and adds its replacement, both or neither."""

    def end_sessions(self, key_id: str) -> None:
        """Raises the key's ``session_version``."""


class Keys:
    """The API keys. Every change is on the durable record first, so that no key is in force without a record of it."""

    def __init__(self, store: KeyStore, telemetry: Telemetry, teams: Collection[str] = ()) -> None:
        self._store = store
        self._teams = teams
        self._telemetry = telemetry
        self._lock = threading.Lock()
        self._cached: TTLCache[str, ApiKey] = TTLCache(1024, KEY_TTL)
        self._known: TTLCache[str, ApiKey] = TTLCache(1024, KNOWN_TTL)
        self._asking: list[float] = []
        """When each of those who wait for the store began to (monotonic)."""
        self._down_until = 0.0

    def create_key(
        self, label: str, role: Role, *, days: int | None = None, limit: str = "default", team: str = ""
    ) -> str:
        """Creates an API key and returns its text, of which only the digest is stored.

        ``limit`` is ``count/period``, ``default`` for the service's, or ``none``, which only operators may have;
        ``team`` is one of the settings', or empty. Raises InvalidRequest, AuditUnavailable, StoreUnavailable.
        """
        text, key = _new_key(label, role, days, _rate_limit(limit, role), self._check_team(team))
        self._record_change("created", key)
        self._store.add_key(key)
        return text

    def rotate_key(self, key_id: str) -> str:
        """Replaces a key by another of the same label, role, limit, team and lifetime.

        Raises NotFound, AuditUnavailable, StoreUnavailable.
        """
        old = self._load_unrevoked_key(key_id)
        text, key = _new_key(old.label, old.role, None, old.rate_limit, old.team)
        if old.expires_at is not None:
            key = replace(key, expires_at=key.created_at + old.expires_at - old.created_at)
        self._record_change("rotated", key, replaces=key_id)
        if not self._store.rotate(key_id, key):
            raise _no_such_key()
        self.forget(key_id)
        return text

    def revoke_key(self, key_id: str) -> None:
        """Revokes a key: in this process now, in others within ``KEY_TTL`` seconds.

        Raises NotFound, AuditUnavailable, StoreUnavailable.
        """
        self.forget(key_id)
        self._record_change("revoked", self._load_unrevoked_key(key_id))
        revoked = self._store.revoke_key(key_id)
        self.forget(key_id)
        if not revoked:
            raise _no_such_key()

    def limit_key(self, key_id: str, limit: str) -> None:
        """Changes the limit of a key, written as in ``create_key``; it takes effect as soon as a revocation.

        Raises NotFound, InvalidRequest, AuditUnavailable, StoreUnavailable.
        """
        old = self._load_unrevoked_key(key_id)
        key = replace(old, rate_limit=_rate_limit(limit, old.role))
        self._record_change("limited", key, before=old.rate_limit or "default")
        changed = self._store.limit_key(key_id, key.rate_limit)
        self.forget(key_id)
        if not changed:
            raise _no_such_key()

    def assign_key(self, key_id: str, team: str) -> None:
        """Gives a key to a team of the settings, or to none if ``team`` is empty, as soon as a revocation.

        Raises NotFound, InvalidRequest, AuditUnavailable, StoreUnavailable.
        """
        old = self._load_unrevoked_key(key_id)
        key = replace(old, team=self._check_team(team))
        self._record_change("assigned", key, before=old.team or "none")
        changed = self._store.assign_key(key_id, key.team)
        self.forget(key_id)
        if not changed:
            raise _no_such_key()

    def end_sessions(self, key: ApiKey) -> None:
        """Ends the page sessions of a key, as soon as a revocation would. Raises AuditUnavailable, StoreUnavailable."""
        self._record_change("signed_out", key)
        self._store.end_sessions(key.id)
        self.forget(key.id)

    def find_key(self, key_id: str, version: int = 0) -> ApiKey | None:
        """The key of this id, not older than a session of ``version``, with which another process has changed it."""
        with self._lock:
            key = self._cached.get(key_id)
        if key is None or key.session_version < version:
            key = self._read_key(key_id)
        return key

    def _read_key(self, key_id: str) -> ApiKey | None:
        """The key as the store has it; while that does not answer, as it last had it."""
        now = time.monotonic()
        with self._lock:
            known = self._known.get(key_id)
            if known is not None and (now < self._down_until or any(begun < now - SLOW for begun in self._asking)):
                return known
            self._asking.append(now)
        try:
            key = self._store.get_key(key_id)
        except StoreUnavailable:
            if known is None:
                raise
            log.warning("the store does not answer: known keys go on for %.0f s", KNOWN_TTL)
            self._down_until = time.monotonic() + BACK_OFF
            return known
        finally:
            with self._lock:
                self._asking.remove(now)
        with self._lock:
            if key is not None:
                self._cached[key_id] = self._known[key_id] = key
            else:
                self._known.pop(key_id, None)
        return key

    def forget(self, key_id: str) -> None:
        """Removes a key from the cache, so that its next use reads the store."""
        with self._lock:
            self._cached.pop(key_id, None)
            self._known.pop(key_id, None)

    def create_first_key(self, path: Path) -> bool:
        """Writes an operator's key to a new private file if the store has no key at all; returns whether it did.

        Raises ConfigurationError when the file cannot be written, AuditUnavailable, StoreUnavailable.
        """
        if self._store.list_keys():
            return False
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            log.warning("keys are required and there is none, but %s exists: remove it to have another created", path)
            return False
        except OSError as error:
            raise ConfigurationError(
                f"The first API key cannot be written in {path}: {type(error).__name__}."
            ) from None
        try:
            text, key = _new_key("first operator", Role.OPERATOR, None, "")
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text + "\n")
            self._record_change("created", key, path=str(path))
            self._store.add_key(key)
        except BaseException:
            path.unlink()
            raise
        return True

    def _check_team(self, team: str) -> str:
        if team and team not in self._teams:
            known = ", ".join(self._teams) or "none is set"
            raise InvalidRequest(f"There is no such team; the teams are: {known}.", hint="See SQL_SYNTHESIZER_TEAMS.")
        return team

    def _load_unrevoked_key(self, key_id: str) -> ApiKey:
        key = self._store.get_key(key_id)
        if key is None or key.revoked_at is not None:
            raise _no_such_key()
        return key

    def _record_change(self, change: str, key: ApiKey, **details: Any) -> None:
        """Records a change that is about to be made. Raises AuditUnavailable."""
        ends = datetime.fromtimestamp(key.expires_at, UTC).isoformat(timespec="seconds") if key.expires_at else "never"
        details |= {"key": key.id, "label": key.label, "key_role": key.role, "limit": key.rate_limit or "default"}
        if key.team:
            details["team"] = key.team
        details["expires_at"] = ends.replace("+00:00", "Z")
        above = self._telemetry.current()
        with nullcontext() if above is not None else self._telemetry.operation(vocabulary.COMMAND) as own:
            if own is not None:
                own.trace.actor = "service"
            self._telemetry.emit(vocabulary.SECURITY_EVENTS["credential_change"], change=change, **details)
            self._telemetry.settle()


def hash_secret(salt: str, secret: str) -> str:
    """The stored digest of a secret. One round is enough: of 256 random bits there is nothing to guess."""
    return hashlib.sha256((salt + secret).encode()).hexdigest()


def _new_key(label: str, role: Role, days: int | None, rate_limit: str, team: str = "") -> tuple[str, ApiKey]:
    if not 1 <= len(label) <= 64 or not label.isprintable():
        raise InvalidRequest(
            "A key's label has 1 to 64 printable characters.", hint="Say who or what will use the key."
        )
    if days is not None and not 1 <= days <= 36_500:
        raise InvalidRequest("A key lasts 1 to 36500 days.", hint="Leave the days out for a key that never expires.")
    key_id, secret, salt, now = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_hex(16), time.time()
    expires = None if days is None else now + days * 86_400
    key = ApiKey(key_id, label, role, salt, hash_secret(salt, secret), now, expires, rate_limit=rate_limit, team=team)
    return f"sqs_{key_id}_{secret}", key


def _rate_limit(text: str, role: Role) -> str:
    if text == "default":
        return ""
    if text == UNLIMITED and role is not Role.OPERATOR:
        raise InvalidRequest("Only an operator's key may be without a limit.", hint="Give it a high one: 6000/minute.")
    if text != UNLIMITED and not re.fullmatch(RATE_LIMIT, text):
        raise InvalidRequest(
            "A key's limit is count/period, 'default' or 'none'.",
            hint="For example 600/minute or 50/10minutes; the periods are second, minute, hour and day.",
        )
    return text


def _no_such_key() -> NotFound:
    return NotFound("No key of this id is in force.", hint="sql-synthesizer keys list shows them.")
