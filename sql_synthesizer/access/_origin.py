"""Where a request comes from: its address, and whether the sender is this machine's user or another site's page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from sql_synthesizer.errors import CsrfFailed

_LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")
_WITH_PORT = re.compile(r"\[([^\[\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Session(NamedTuple):
    """What a signed cookie says: its key's id, the key's ``session_version`` then, and its end in Unix time."""

    key: str
    version: int
    until: float


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says about its sender; ``forwarded`` is whether a proxy's header is there."""

    key: str | None = None
    session: Session | None = None
    address: str = ""
    host: str = ""
    origin: str | None = None
    fetch_site: str | None = None
    forwarded: bool = False
    method: str = "GET"


def plain_address(text: str) -> str:
    """The IP address that a server or proxy names a sender by, without port and zone; ``unknown`` when it is none."""
    match = _WITH_PORT.fullmatch(text.strip())
    ip = _parse_address((match[1] or match[2] if match else text.strip()).partition("%")[0])
    return "unknown" if ip is None else str(ip)


def is_loopback(address: str) -> bool:
    """Whether an address, or the name ``localhost``, is this machine's own."""
    ip = _parse_address(address)
    return address == "localhost" if ip is None else ip.is_loopback


def address_network(address: str) -> str:
    """The network that failures are counted for: an IPv4 address, or the /64 that one IPv6 customer has."""
    ip = _parse_address(address)
    if isinstance(ip, IPv6Address):
        return str(ip_network((ip, 64), strict=False))
    return "unknown" if ip is None else str(ip)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address; the IPv4 address where an IPv6 one stands for it."""
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def remote_cause(credentials: Credentials) -> str:
    """Why a request does not come from a browser or program of this machine's user; empty when it does."""
    if credentials.forwarded:
        return "forwarded"
    if credentials.address == "localhost" or not is_loopback(credentials.address):
        return "address"
    # DNS rebinding: a name of an attacker's that resolves to 127.0.0.1 makes the page of another site same-origin. Only
    # the Host header, which a page cannot set, still has that name.
    return "" if _LOOPBACK_HOST.fullmatch(credentials.host.lower()) else "host"


def is_foreign(credentials: Credentials) -> bool:
    """Whether another site's page sent the request."""
    # Any page can make its reader's browser send requests to a loopback address, where no key is required.
    if credentials.fetch_site not in {None, "", "none", "same-origin"}:
        return True
    own = {f"http://{credentials.host}".lower(), f"https://{credentials.host}".lower()}
    return credentials.origin is not None and credentials.origin.lower() not in own


def refuse_foreign(credentials: Credentials) -> None:
    """Raises CsrfFailed when another site's page asks for a change."""
    if credentials.method.upper() not in _SAFE_METHODS and is_foreign(credentials):
        raise CsrfFailed(details={"address": credentials.address})
