"""Who may do what, how often: API keys, roles, the open loopback and rate limits."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cachetools import TTLCache
from limits import RateLimitItem, parse

from sql_synthesizer import events
from sql_synthesizer.access._limits import Counter
from sql_synthesizer.errors import (
    AccessDenied,
    AuthenticationFailed,
    AuthenticationRequired,
    ConfigurationError,
    CsrfFailed,
    InvalidRequest,
    NotFound,
    RateLimited,
)
from sql_synthesizer.model import ApiKey, Caller, Role
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry

BELIEVED = 30.0
"""Seconds that a key once read is believed unchanged: how long a revocation may take to reach every process."""
SEEN = 900.0
"""Seconds until a caller at an address is recorded as authenticated again."""

_KEY = re.compile(r"sqs_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NOBODY = ApiKey("", "", Role.VIEWER, salt="0" * 32, digest="0" * 64, created_at=0.0)

log = logging.getLogger(__name__)


class KeyStore(Protocol):
    """Where API keys are kept."""

    def add_key(self, key: ApiKey) -> None:
        """Keeps a new key."""
        ...

    def get_key(self, key_id: str) -> ApiKey | None:
        """The key of this id."""
        ...

    def list_keys(self) -> list[ApiKey]:
        """Every key, revoked and expired ones too."""
        ...

    def revoke_key(self, key_id: str) -> bool:
        """Ends a key; False when it cannot be revoked."""
        ...

    def rotate(self, key_id: str, replacement: ApiKey) -> bool:
        """Ends a key and keeps its replacement, both or neither."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says about its sender.

    ``session`` is the key id of a signed session; ``forwarded`` whether a proxy's header is there;
    ``method`` the HTTP method.
    """

    key: str | None = None
    session: str | None = None
    address: str = ""
    host: str = ""
    origin: str | None = None
    fetch_site: str | None = None
    forwarded: bool = False
    method: str = "GET"


class Access:
    """Decides who a request comes from and what it may do. Raises ConfigurationError on unusable settings."""

    def __init__(self, settings: Settings, keys: KeyStore, telemetry: Telemetry) -> None:
        self.keys_required = settings.auth == "required" or not _is_loopback(settings.host)
        self._keys = keys
        self._telemetry = telemetry
        self._requests = parse(settings.rate_limit) if settings.rate_limit else None
        self._failures = parse(settings.failed_login_limit) if settings.failed_login_limit else None
        self._counter = Counter(settings)
        self._lock = threading.Lock()
        self._known: TTLCache[str, ApiKey] = TTLCache(1024, BELIEVED)
        self._seen: TTLCache[tuple[str, str], bool] = TTLCache(10_000, SEEN)

    # --- deciding ---------------------------------------------------------------------------

    def authenticate(self, credentials: Credentials) -> Caller:
        """Who sends this request.

        Raises AuthenticationRequired, AuthenticationFailed, CsrfFailed, RateLimited after too many wrong
        credentials from the address, StoreUnavailable.
        """
        if credentials.key:
            return self._with_key(credentials.key, credentials)
        if credentials.session:
            _refuse_foreign(credentials)
            return self._with_session(credentials.session, credentials)
        return self._open(credentials)

    def require(self, caller: Caller, role: Role) -> None:
        """Raises AccessDenied unless the caller's role includes this one."""
        if not caller.role.includes(role):
            raise AccessDenied(details={"needed": role.value, "role": caller.role.value, "identity": caller.identity})

    def limit(self, caller: Caller) -> None:
        """Counts a request of this caller; raises RateLimited when it is one too many."""
        if self._requests is not None and not self._counter.hit(self._requests, "requests", caller.identity):
            raise self._limited(self._requests, "requests", caller.identity, caller.address)

    # --- keys -------------------------------------------------------------------------------

    def create_key(self, label: str, role: Role, *, days: int | None = None) -> str:
        """Makes an API key and returns it, which nobody can do again.

        This and every other change is on durable record before it is made; one that then fails leaves a record too.
        Raises InvalidRequest, AuditUnavailable, StoreUnavailable.
        """
        text, key = _new_key(label, role, days)
        self._changing("created", key.id, key.role)
        self._keys.add_key(key)
        return text

    def rotate_key(self, key_id: str) -> str:
        """Replaces a key by another of the same label, role and lifetime.

        Raises NotFound, AuditUnavailable, StoreUnavailable.
        """
        old = self._revocable(key_id)
        text, key = _new_key(old.label, old.role, None)
        if old.expires_at is not None:
            key = replace(key, expires_at=key.created_at + old.expires_at - old.created_at)
        self._changing("rotated", key.id, key.role, replaces=key_id)
        if not self._keys.rotate(key_id, key):
            raise _no_such_key()
        self.forget(key_id)
        return text

    def revoke_key(self, key_id: str) -> None:
        """Ends a key: here now, in other processes within ``BELIEVED`` seconds.

        Raises NotFound, AuditUnavailable, StoreUnavailable.
        """
        self.forget(key_id)
        key = self._revocable(key_id)
        self._changing("revoked", key_id, key.role)
        revoked = self._keys.revoke_key(key_id)
        self.forget(key_id)
        if not revoked:
            raise _no_such_key()

    def forget(self, key_id: str) -> None:
        """Reads this key from the store again at its next use."""
        with self._lock:
            self._known.pop(key_id, None)

    def first_key(self, path: Path) -> bool:
        """Leaves an operator key in a new private file when keys are required and none was ever made; True if so.

        Raises ConfigurationError when the file cannot be written, AuditUnavailable, StoreUnavailable.
        """
        if not self.keys_required or self._keys.list_keys():
            return False
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            log.warning("keys are required and there is none, but %s exists: remove it to have another made", path)
            return False
        except OSError as error:
            raise ConfigurationError(f"The first API key cannot be left in {path}: {type(error).__name__}.") from None
        try:
            text, key = _new_key("first operator", Role.OPERATOR, None)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text + "\n")
            self._changing("created", key.id, key.role, path=str(path))
            self._keys.add_key(key)
        except BaseException:
            path.unlink()
            raise
        return True

    def is_local(self, credentials: Credentials) -> bool:
        """Whether a request comes from this machine's own user, whatever the service listens on."""
        return not _not_local(credentials) and not _is_foreign(credentials)

    def _revocable(self, key_id: str) -> ApiKey:
        key = self._keys.get_key(key_id)
        if key is None or key.revoked_at is not None:
            raise _no_such_key()
        return key

    def _changing(self, change: str, key_id: str, role: Role, **details: Any) -> None:
        """Records a change that is about to be made. Raises AuditUnavailable."""
        above = self._telemetry.current()
        with nullcontext() if above is not None else self._telemetry.operation(events.COMMAND):
            self._telemetry.emit(
                events.SECURITY_EVENTS["credential_change"], change=change, key=key_id, key_role=role, **details
            )
            self._telemetry.settle()

    # --- ways in ----------------------------------------------------------------------------

    def _open(self, credentials: Credentials) -> Caller:
        if self.keys_required:
            raise AuthenticationRequired(details={"address": credentials.address})
        if why := _not_local(credentials):
            raise AuthenticationRequired(details={"address": credentials.address, "cause": why})
        _refuse_foreign(credentials)
        if _is_foreign(credentials):
            raise AuthenticationRequired(details={"address": credentials.address, "cause": "origin"})
        return Caller("local", Role.OPERATOR, credentials.address, "open")

    def _with_key(self, text: str, credentials: Credentials) -> Caller:
        match = _KEY.fullmatch(text)
        if match is None:
            raise self._failed(credentials, "", "malformed")
        key_id, secret = match.groups()
        self._check_failures(key_id, credentials.address)
        key = self._find(key_id)
        digest = _digest((key or _NOBODY).salt, secret)
        if not hmac.compare_digest(digest, (key or _NOBODY).digest) or key is None:
            raise self._failed(credentials, key_id, "unknown" if key is None else "secret")
        return self._admit(key, credentials, "key")

    def _with_session(self, key_id: str, credentials: Credentials) -> Caller:
        key = self._find(key_id)
        if key is None:
            raise self._failed(credentials, key_id, "unknown")
        return self._admit(key, credentials, "session")

    def _find(self, key_id: str) -> ApiKey | None:
        with self._lock:
            key = self._known.get(key_id)
        if key is None:
            key = self._keys.get_key(key_id)
            if key is not None:
                with self._lock:
                    self._known[key_id] = key
        return key

    def _admit(self, key: ApiKey, credentials: Credentials, method: str) -> Caller:
        if key.revoked_at is not None:
            raise self._failed(credentials, key.id, "revoked")
        if key.expires_at is not None and key.expires_at <= time.time():
            raise self._failed(credentials, key.id, "expired")
        pair = (key.id, credentials.address)
        with self._lock:
            seen = pair in self._seen
        if not seen:
            self._telemetry.emit(
                events.SECURITY_EVENTS["authentication_success"],
                identity=key.id,
                role=key.role.value,
                address=credentials.address,
                method=method,
            )
            with self._lock:
                self._seen[pair] = True
        return Caller(key.id, key.role, credentials.address, method)

    # --- limits -----------------------------------------------------------------------------

    def _check_failures(self, key_id: str, address: str) -> None:
        """An address over its limit of failures may only use keys that it has used before."""
        with self._lock:
            seen = (key_id, address) in self._seen
        if not seen and self._failures is not None:
            network = _network(address)
            if self._counter.over(self._failures, "failures", network):
                raise self._limited(self._failures, "failures", network, address)

    def _failed(self, credentials: Credentials, key_id: str, cause: str) -> AuthenticationFailed | RateLimited:
        """The error; only keys are counted, for a signed session that has ended is no guess."""
        if credentials.key and self._failures is not None:
            network = _network(credentials.address)
            if not self._counter.hit(self._failures, "failures", network):
                return self._limited(self._failures, "failures", network, credentials.address)
        return AuthenticationFailed(details={"key": key_id, "address": credentials.address, "cause": cause})

    def _limited(self, item: RateLimitItem, what: str, who: str, address: str) -> RateLimited:
        seconds = self._counter.seconds_left(item, what, who)
        return RateLimited(retry_after=seconds, details={"limit": what, "caller": who, "address": address})


# --- details ----------------------------------------------------------------------------------


def _new_key(label: str, role: Role, days: int | None) -> tuple[str, ApiKey]:
    if not 1 <= len(label) <= 64 or not label.isprintable():
        raise InvalidRequest(
            "A key's label has 1 to 64 printable characters.", hint="Say who or what will use the key."
        )
    if days is not None and not 1 <= days <= 36_500:
        raise InvalidRequest("A key lasts 1 to 36500 days.", hint="Leave the days out for a key without an end.")
    key_id, secret, salt, now = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_hex(16), time.time()
    expires = None if days is None else now + days * 86_400
    return f"sqs_{key_id}_{secret}", ApiKey(key_id, label, role, salt, _digest(salt, secret), now, expires)


def _digest(salt: str, secret: str) -> str:
    """One round is enough: the secret is 256 random bits, so there is nothing to guess."""
    return hashlib.sha256((salt + secret).encode()).hexdigest()


def _no_such_key() -> NotFound:
    return NotFound("There is no key of this id that could be revoked.", hint="sql-synthesizer keys list shows them.")


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address == "localhost"
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def _network(address: str) -> str:
    """What failures are counted for: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def _not_local(credentials: Credentials) -> str:
    """Why a request does not come from a browser or program of this machine's user; empty when it does."""
    if credentials.forwarded:
        return "forwarded"
    if credentials.address == "localhost" or not _is_loopback(credentials.address):
        return "address"
    # A foreign name that resolves to this machine (DNS rebinding) is the one thing a browser cannot hide.
    return "" if _LOOPBACK_HOST.fullmatch(credentials.host.lower()) else "host"


def _is_foreign(credentials: Credentials) -> bool:
    if credentials.fetch_site not in {None, "", "none", "same-origin"}:
        return True
    own = {f"http://{credentials.host}".lower(), f"https://{credentials.host}".lower()}
    return credentials.origin is not None and credentials.origin.lower() not in own


def _refuse_foreign(credentials: Credentials) -> None:
    if credentials.method.upper() not in _SAFE_METHODS and _is_foreign(credentials):
        raise CsrfFailed(details={"address": credentials.address})
