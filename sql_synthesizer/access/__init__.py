"""Authentication and rate limits: API keys, roles, sessions, the open loopback, and locks on guessing."""

from __future__ import annotations

import hmac
import re
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cachetools import TTLCache
from limits import parse

from sql_synthesizer.access._budgets import Budgets, UsageStore
from sql_synthesizer.access._keys import KEY_TTL, UNLIMITED, Keys, KeyStore, hash_secret
from sql_synthesizer.access._limits import Counter
from sql_synthesizer.access._lockout import Lock, Lockout
from sql_synthesizer.access._origin import (
    Credentials,
    Session,
    address_network,
    is_foreign,
    is_loopback,
    plain_address,
    refuse_foreign,
    remote_cause,
)
from sql_synthesizer.access._suspicion import Suspicions
from sql_synthesizer.errors import AccessDenied, AuthenticationFailed, AuthenticationRequired, OwnerRefused, RateLimited
from sql_synthesizer.model import ApiKey, Caller, Role
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary

__all__ = ["KEY_TTL", "Access", "Credentials", "Keys", "Session", "plain_address"]

SUCCESS_INTERVAL = 900.0
"""Seconds until the use of a key from an address is recorded again.

Every request is on record with its caller anyway; a success of its own says when a key came into use somewhere, and one
for each request would fill the record.
"""

LOCAL = "local"
"""The identity of this machine's user, where no keys are required."""
_KEY = re.compile(r"sqs_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_UNKNOWN_KEY = ApiKey("", "", Role.VIEWER, salt="0" * 32, digest="0" * 64, created_at=0.0)
"""Compared where no key has the id, so that the time of a refusal does not say which ids exist."""
_parsed = lru_cache(1024)(parse)


class AccessStore(KeyStore, UsageStore, Protocol):
    """Where keys and the use of teams are kept."""


class Access:
    """Decides who a request comes from and what it may do. Raises ConfigurationError on unusable settings."""

    def __init__(self, settings: Settings, store: AccessStore, telemetry: Telemetry) -> None:
        self.budgets = Budgets(settings, store, telemetry)
        self.keys = Keys(store, telemetry, self.budgets.teams)
        self.keys_required = (
            settings.auth == "required" or settings.trusted_proxies > 0 or not is_loopback(settings.host)
        )
        self._telemetry = telemetry
        self._requests = parse(settings.rate_limit) if settings.rate_limit else None
        self._session_seconds = settings.session_hours * 3600
        self._counter = Counter(settings)
        self._lockout = Lockout(settings, self._counter)
        self.suspicions = Suspicions(settings, self._counter)
        self._lock = threading.Lock()
        self._seen: TTLCache[tuple[str, str], bool] = TTLCache(10_000, SUCCESS_INTERVAL)

    # --- decisions --------------------------------------------------------------------------

    def authenticate(self, credentials: Credentials) -> Caller:
        """Who sends this request.

        Raises AuthenticationRequired, AuthenticationFailed, CsrfFailed, RateLimited while the address or the key is
        locked, StoreUnavailable.
        """
        if credentials.key:
            return self._authenticate_key(credentials.key, credentials)
        if credentials.session:
            refuse_foreign(credentials)
            return self._authenticate_session(credentials.session, credentials)
        return self._authenticate_local(credentials)

    def find_owner(self, identity: str) -> Caller:
        """Who an identity is now, for work that it left to be done later. Raises OwnerRefused, StoreUnavailable."""
        if identity.startswith("cli:") or (identity == LOCAL and not self.keys_required):
            return Caller(identity, Role.OPERATOR, "", "job")
        key = self.keys.find_key(identity)
        ends = None if key is None else key.expires_at
        if key is None or key.revoked_at is not None or (ends is not None and ends <= time.time()):
            raise OwnerRefused(details={"identity": identity})
        return Caller(key.id, key.role, "", "job", key.rate_limit, key.team)

    def require(self, caller: Caller, role: Role) -> None:
        """Raises AccessDenied unless the caller's role includes this one."""
        if not caller.role.includes(role):
            raise AccessDenied(details={"needed": role.value, "role": caller.role.value, "identity": caller.identity})

    def limit(self, caller: Caller) -> None:
        """Counts a request of this caller; raises RateLimited when it is one too many."""
        item = _parsed(caller.rate_limit) if caller.rate_limit not in {"", UNLIMITED} else self._requests
        if item is None or caller.rate_limit == UNLIMITED:
            return
        if not self._counter.hit(item, "requests", caller.identity):
            raise RateLimited(
                retry_after=self._counter.seconds_left(item, "requests", caller.identity),
                details={"limit": "requests", "caller": caller.identity, "address": caller.address},
            )

    def ensure_first_key(self, path: Path) -> bool:
        """``Keys.create_first_key`` where keys are required."""
        return self.keys_required and self.keys.create_first_key(path)

    def is_local(self, credentials: Credentials) -> bool:
        """Whether a request comes from this machine's own user, whatever the service listens on."""
        return not remote_cause(credentials) and not is_foreign(credentials)

    # --- sessions ---------------------------------------------------------------------------

    def begin_session(self, caller: Caller) -> Session:
        """The session, to be signed, of a caller that came with a key. Raises StoreUnavailable."""
        key = self.keys.find_key(caller.identity)
        return Session(caller.identity, key.session_version if key else 0, time.time() + self._session_seconds)

    def end_sessions(self, session: Session) -> None:
        """Ends a session and every other of its key; does nothing when it has ended.

        Raises AuditUnavailable, StoreUnavailable.
        """
        key = self.keys.find_key(session.key, session.version)
        if key is not None and key.session_version == session.version and session.until > time.time():
            self.keys.end_sessions(key)

    # --- ways to authenticate ---------------------------------------------------------------

    def _authenticate_local(self, credentials: Credentials) -> Caller:
        if self.keys_required:
            raise AuthenticationRequired(details={"address": credentials.address})
        if why := remote_cause(credentials):
            raise AuthenticationRequired(details={"address": credentials.address, "cause": why})
        refuse_foreign(credentials)
        if is_foreign(credentials):
            raise AuthenticationRequired(details={"address": credentials.address, "cause": "origin"})
        return Caller(LOCAL, Role.OPERATOR, credentials.address, "open")

    def _authenticate_key(self, text: str, credentials: Credentials) -> Caller:
        match = _KEY.fullmatch(text)
        key_id, secret = match.groups() if match else ("", "")
        network = address_network(credentials.address)
        if not self._was_seen(key_id, credentials) and (lock := self._lockout.check(network, key_id)):
            raise _lockout_error(lock, credentials)
        if match is None:
            raise self._count_wrong_key(credentials, "", "malformed")
        key = self.keys.find_key(key_id)
        given = hash_secret((key or _UNKNOWN_KEY).salt, secret)
        if not hmac.compare_digest(given, (key or _UNKNOWN_KEY).digest) or key is None:
            raise self._count_wrong_key(credentials, key_id, "unknown" if key is None else "secret")
        return self._admit_key(key, credentials, "key")

    def _authenticate_session(self, session: Session, credentials: Credentials) -> Caller:
        key = self.keys.find_key(session.key, session.version)
        if key is None:
            raise _authentication_error(credentials, session.key, "unknown")
        if session.until <= time.time():
            raise _authentication_error(credentials, key.id, "session expired")
        if session.version != key.session_version:
            raise _authentication_error(credentials, key.id, "signed out")
        return self._admit_key(key, credentials, "session")

    def _admit_key(self, key: ApiKey, credentials: Credentials, method: str) -> Caller:
        if key.revoked_at is not None:
            raise _authentication_error(credentials, key.id, "revoked")
        if key.expires_at is not None and key.expires_at <= time.time():
            raise _authentication_error(credentials, key.id, "expired")
        if not self._was_seen(key.id, credentials):
            if (operation := self._telemetry.current()) is not None:
                operation.trace.actor, operation.trace.role = key.id, key.role.value
            self._telemetry.emit(
                vocabulary.SECURITY_EVENTS["authentication_success"],
                identity=key.id,
                role=key.role.value,
                address=credentials.address,
                method=method,
            )
            self._lockout.remember_use(address_network(credentials.address), key.id)
            with self._lock:
                self._seen[key.id, credentials.address] = True
        return Caller(key.id, key.role, credentials.address, method, key.rate_limit, key.team)

    def _was_seen(self, key_id: str, credentials: Credentials) -> bool:
        with self._lock:
            return (key_id, credentials.address) in self._seen

    # --- refusals ---------------------------------------------------------------------------

    def _count_wrong_key(self, credentials: Credentials, key_id: str, cause: str) -> AuthenticationFailed | RateLimited:
        """The error, counted; the one that starts a lock is on record as both."""
        error = _authentication_error(credentials, key_id, cause)
        lock = self._lockout.count_failure(address_network(credentials.address), key_id)
        if lock is None:
            return error
        self._telemetry.report_error(error)
        return _lockout_error(lock, credentials)


def _lockout_error(lock: Lock, credentials: Credentials) -> RateLimited:
    details = {"limit": "failures", "caller": lock.target, "address": credentials.address}
    return RateLimited(
        "Too many wrong API keys came from this address, or for this key.",
        retry_after=lock.seconds,
        details=details | {"locked_seconds": lock.seconds, "locks": lock.locks},
    )


def _authentication_error(credentials: Credentials, key_id: str, cause: str) -> AuthenticationFailed:
    return AuthenticationFailed(details={"key": key_id, "address": credentials.address, "cause": cause})
