"""What a request says about its sender, and what may be believed of it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
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
    try:
        ip = ipaddress.ip_address((match[1] or match[2] if match else text.strip()).partition("%")[0])
    except ValueError:
        return "unknown"
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def is_loopback(address: str) -> bool:
    """Whether an address, or the name ``localhost``, is this machine's own."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address == "localhost"
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def address_network(address: str) -> str:
    """What failures are counted for: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def remote_cause(credentials: Credentials) -> str:
    """Why a request does not come from a browser or program of this machine's user; empty when it does."""
    if credentials.forwarded:
        return "forwarded"
    if credentials.address == "localhost" or not is_loopback(credentials.address):
        return "address"
    # A foreign name that resolves to this machine (DNS rebinding) is the one thing a browser cannot hide.
    return "" if _LOOPBACK_HOST.fullmatch(credentials.host.lower()) else "host"


def is_foreign(credentials: Credentials) -> bool:
    """Whether another site's page sent the request."""
    if credentials.fetch_site not in {None, "", "none", "same-origin"}:
        return True
    own = {f"http://{credentials.host}".lower(), f"https://{credentials.host}".lower()}
    return credentials.origin is not None and credentials.origin.lower() not in own


def refuse_foreign(credentials: Credentials) -> None:
    """Raises CsrfFailed when another site's page asks for a change."""
    if credentials.method.upper() not in _SAFE_METHODS and is_foreign(credentials):
        raise CsrfFailed(details={"address": credentials.address})
