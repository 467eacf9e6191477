"""``sql-synthesizer keys``: who may ask."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from sql_synthesizer.cli.session import open_rooms, record_command
from sql_synthesizer.model import ApiKey, Role

if TYPE_CHECKING:
    from sql_synthesizer.wiring import Rooms


@click.group("keys")
def command() -> None:
    """Create, list, limit, assign, rotate and revoke API keys."""


@contextmanager
def _recorded_rooms() -> Iterator[Rooms]:
    """The rooms, also when only the record's reserve is left: a stolen key can be revoked while nothing is answered."""
    with open_rooms(audit_reserve_bytes=0) as rooms, record_command(rooms):
        yield rooms


@command.command()
@click.argument("label")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="viewer", show_default=True)
@click.option("--days", type=click.IntRange(1), help="Days until it expires.")
@click.option("--limit", default="default", help="Its requests, such as 600/minute; 'none' is for operators only.")
@click.option("--team", default="", help="Its team, one of SQL_SYNTHESIZER_TEAMS.")
def create(label: str, role: str, days: int | None, limit: str, team: str) -> None:
    """Make a key for LABEL and print it; it is shown this once only."""
    with _recorded_rooms() as rooms:
        click.echo(rooms.access.keys.create_key(label, Role(role), days=days, limit=limit, team=team))


@command.command(name="list")
def list_keys() -> None:
    """List the keys without their secrets: id, role, state, day (UTC) of expiry, limit, label, and the team if any."""
    with _recorded_rooms() as rooms:
        for key in rooms.store.list_keys():
            ends = datetime.fromtimestamp(key.expires_at, UTC).date().isoformat() if key.expires_at else "never"
            limit = key.rate_limit or "default"
            label = key.label + f"  [{key.team}]" * bool(key.team)
            click.echo(f"{key.id}  {key.role:<8}  {_key_state(key):<7}  {ends:<10}  {limit:<10}  {label}")


def _key_state(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= time.time() else "active"


@command.command()
@click.argument("key_id")
@click.argument("limit")
def limit(key_id: str, limit: str) -> None:
    """Allow the key with this id LIMIT requests: COUNT/PERIOD, 'default' for the service's limit, or 'none'.

    A period is a second, minute, hour or day; 'none' is for operators only. Running services follow within 5 seconds.
    """
    with _recorded_rooms() as rooms:
        rooms.access.keys.limit_key(key_id, limit)
        click.echo(f"{key_id} limited to {limit}")


@command.command()
@click.argument("key_id")
@click.argument("team", default="")
def assign(key_id: str, team: str) -> None:
    """Give the key with this id to TEAM, or to none. Running services follow within 5 seconds."""
    with _recorded_rooms() as rooms:
        rooms.access.keys.assign_key(key_id, team)
        click.echo(f"{key_id} assigned to {team or 'no team'}")


@command.command()
@click.argument("key_id")
def rotate(key_id: str) -> None:
    """Replace a key by a new one with the same label, role, limit, team and lifetime, and print that."""
    with _recorded_rooms() as rooms:
        click.echo(rooms.access.keys.rotate_key(key_id))


@command.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Revoke the key with this id; running services follow within 5 seconds."""
    with _recorded_rooms() as rooms:
        rooms.access.keys.revoke_key(key_id)
        click.echo(f"{key_id} revoked")
