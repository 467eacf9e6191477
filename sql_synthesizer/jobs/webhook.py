"""Calls to an address that a caller has named: which may be called, how a call is signed, and what it may take.

Nothing may be called unless the settings name its host; then the host's address must be public, or in a network that
the settings name, and the call goes to the address that was looked at. Calls are signed as Standard Webhooks 1.0 says
(standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from sql_synthesizer.connecting import find_addresses
from sql_synthesizer.errors import ConfigurationError, WebhookFailed, WebhookGone, WebhookRefused

SECONDS = 10.0
"""Time of a call in all: name, connection, TLS, and the head of the reply, whose body is not read."""
PORTS = {"http": 80, "https": 443}
URL = re.compile(r"https?://[!-\[\]-~]{1,500}")
"""Printable ASCII without a backslash, which programs read differently."""
SECRET = "whsec_"  # noqa: S105 - how one begins
LEAST_KEY_BYTES = 24
AGENT = "sql-synthesizer"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Message:
    """What an address is told. Equal messages have the same ``id``, however often they are sent."""

    id: str
    body: bytes
    traceparent: str


class Webhooks:
    """Which addresses may be called: ``hosts`` and ``networks`` with commas between, ``secrets`` with spaces.

    Raises ConfigurationError when they cannot be read, or there are hosts and no secret.
    """

    def __init__(self, hosts: str, networks: str, secrets: str) -> None:
        try:
            at_fault = "HOSTS"
            self._places = frozenset(place for entry in _listed(hosts) for place in _read_places(entry))
            at_fault = "NETWORKS"
            self._networks = tuple(ipaddress.ip_network(entry) for entry in _listed(networks))
            at_fault = "SECRET"
            self._keys = tuple(_read_key(secret) for secret in secrets.split())
        except (ValueError, binascii.Error) as error:
            raise ConfigurationError(f"SQL_SYNTHESIZER_WEBHOOK_{at_fault} cannot be used: {error}.") from None
        if self._places and not self._keys:
            raise ConfigurationError(
                "Webhooks are on, and nothing signs them.",
                hint="Set SQL_SYNTHESIZER_WEBHOOK_SECRET to the output of: echo whsec_$(openssl rand -base64 32).",
            )

    def check(self, url: str) -> SplitResult:
        """The parts of an address that may be called, as far as that is known without a look-up.

        Raises WebhookRefused.
        """
        parts = urlsplit(url) if URL.fullmatch(url) else None
        try:
            place = None if parts is None else (parts.hostname or "", parts.port or PORTS[parts.scheme])
        except ValueError:
            place = None
        if parts is None or place is None or parts.username is not None or parts.fragment:
            raise WebhookRefused("A webhook is an address such as https://hooks.example.org/path?query.")
        if place not in self._places:
            raise WebhookRefused(details={"host": place[0][:100], "port": place[1]})
        if (address := _read_address(place[0])) is not None and not self._is_open(address):
            raise _closed(place[0])
        return parts

    def call(self, url: str, message: Message) -> int:
        """Sends the message; the status of the reply, which is one of success.

        Raises WebhookRefused, WebhookGone when the receiver wants no more, WebhookFailed for anything else.
        """
        parts, until = self.check(url), time.monotonic() + SECONDS
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        try:
            addresses = self._find_open(host, port)
            context = ssl.create_default_context() if parts.scheme == "https" else None
            with closing(_PinnedConnection(host, port, addresses, context, until)) as connection:
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("POST", path, message.body, self._make_headers(message))
                status = connection.getresponse().status
            if time.monotonic() >= until:
                raise TimeoutError  # a head that was cut reads as one that is whole
        except (OSError, http.client.HTTPException) as error:
            raise WebhookFailed(details={"error": type(error).__name__}) from None
        if status == http.HTTPStatus.GONE:
            raise WebhookGone(details={"status": status})
        if not 200 <= status < 300:  # also a redirect, which could lead anywhere
            raise WebhookFailed(details={"status": status})
        return status

    def _find_open(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be called. Raises OSError, WebhookRefused."""
        found = find_addresses(host, port, SECONDS)
        if addresses := [address for address in found if self._is_open(ipaddress.ip_address(address))]:
            return addresses
        raise _closed(host)

    def _is_open(self, address: Address) -> bool:
        inner = _inner_address(address)
        named = any(inner in network for network in self._networks)
        return named or (inner.is_global and not inner.is_multicast)

    def _make_headers(self, message: Message) -> dict[str, str]:
        at = str(int(time.time()))
        signed = b".".join((message.id.encode(), at.encode(), message.body))
        macs = (hmac.new(key, signed, hashlib.sha256).digest() for key in self._keys)
        return {
            "Content-Type": "application/json",
            "User-Agent": AGENT,
            "webhook-id": message.id,
            "webhook-timestamp": at,
            "webhook-signature": " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs),
            "traceparent": message.traceparent,
        }


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to one of the addresses that were looked at before, which is shut when its time is over."""

    def __init__(
        self, host: str, port: int, addresses: list[str], context: ssl.SSLContext | None, until: float
    ) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self.default_port = PORTS["https" if context else "http"]
        self._addresses = addresses
        self._context = context
        self._until = until
        self._watch: tuple[threading.Timer, socket.socket] | None = None

    def connect(self) -> None:
        sock = self._connect_first()
        # A peer that sends a byte now and then never exceeds a limit on one wait.
        handle = sock.dup()
        timer = threading.Timer(self._time_left(), _shut, (handle,))
        timer.daemon = True
        self._watch = timer, handle
        timer.start()
        self.sock = sock if self._context is None else self._context.wrap_socket(sock, server_hostname=self.host)

    def _connect_first(self) -> socket.socket:
        fault: OSError = TimeoutError()
        for address in self._addresses:
            try:
                return socket.create_connection((address, self.port), self._time_left())
            except OSError as error:
                fault = error
        raise fault

    def _time_left(self) -> float:
        return max(0.001, self._until - time.monotonic())

    def close(self) -> None:
        super().close()
        if self._watch is not None:
            timer, handle = self._watch
            self._watch = None
            timer.cancel()
            timer.join()
            handle.close()


def _shut(handle: socket.socket) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it had ended by itself


def _closed(host: str) -> WebhookRefused:
    return WebhookRefused(
        "The host of the webhook has no address that may be called.",
        hint="Operators: SQL_SYNTHESIZER_WEBHOOK_NETWORKS names networks that are not public.",
        details={"host": host},
    )


def _read_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _listed(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _read_places(entry: str) -> list[tuple[str, int]]:
    """Host and ports that an entry of the allow-list means; without a port, those of HTTP and HTTPS."""
    parts = urlsplit(f"//{entry}")
    if not parts.hostname or parts.netloc != entry or "@" in entry or "*" in entry:
        raise ValueError(f"{entry!r:.80} is no host; each is named in full, without *")
    return [(parts.hostname, port) for port in ([parts.port] if parts.port else PORTS.values())]


def _read_key(secret: str) -> bytes:
    key = base64.b64decode(secret.removeprefix(SECRET), validate=True)
    if not secret.startswith(SECRET) or len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"a secret is {SECRET} and the base64 of {LEAST_KEY_BYTES} bytes or more")
    return key


def _inner_address(address: Address) -> Address:
    """The address that an IPv6 address leads to where it stands for one of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped or address.sixtofour
        if mapped is not None:
            return mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
