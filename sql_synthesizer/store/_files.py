"""The store's files: secrets, backup and restore."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import draft_file, write_file
from sql_synthesizer.store._engine import check_version, unavailable_error

SECRET_BYTES = 32
_TABLES = {"api_keys", "history", "feedback", "meta", "schema_version"}


def load_secret(path: Path) -> bytes:
    """The secret kept at ``path``; of processes that start together, one makes it.

    Raises ConfigurationError when the file is damaged, StoreUnavailable.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            with suppress(FileExistsError):  # another process was first
                write_file(path, [f"{secrets.token_hex(SECRET_BYTES)}\n".encode()], replace=False)
        path.chmod(0o600)
        value = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise unavailable_error(error) from None
    if len(value) != SECRET_BYTES:
        raise ConfigurationError(
            f"The secret file {path} is damaged.", hint="Restore it, or remove it to make another."
        )
    return value


def backup_file(source: Path, target: Path) -> None:
    """A consistent copy of a store in use, as one file. Raises ConfigurationError, StoreUnavailable."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise ConfigurationError(f"{target} exists already.", hint="Give the backup another name.") from None
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {type(error).__name__}.") from None
    try:
        _copy_store(source, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def restore_file(source: Path, live: Path) -> Path | None:
    """Puts a validated copy in the store's place; returns where the old store is kept, if there was one.

    Raises ConfigurationError when the copy is no store or the store is in use, StoreUnavailable.
    """
    validate_backup(source)
    try:
        live.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft_file(live) as draft:
            _copy_store(source, draft)
            return _put_aside(live) if live.exists() else None
    except OSError as error:
        raise unavailable_error(error) from None


def _copy_store(source: Path, target: Path) -> None:
    """Copies a store, also one in use, into an empty file. Raises ConfigurationError, StoreUnavailable."""
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise unavailable_error(error) from None
    validate_backup(target)


def validate_backup(path: Path) -> None:
    """Raises ConfigurationError when the file is not a sound store of a version that this release knows."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as copy:
            sound = copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            tables = {row[0] for row in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = copy.execute("SELECT max(version) FROM schema_version").fetchone()[0]
    except (sqlite3.Error, OSError) as error:
        raise ConfigurationError(f"{path} is not a backup of a store: {type(error).__name__}.") from None
    if not sound or not tables >= _TABLES or not isinstance(version, int):
        raise ConfigurationError(f"{path} is damaged or not a backup of a store.")
    check_version(version)


def _put_aside(live: Path) -> Path:
    """Renames the store; leaving the write-ahead log first makes it one file and fails while it is in use."""
    try:
        with closing(sqlite3.connect(live, timeout=1)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        raise ConfigurationError("The store is in use.", hint="Stop the service, then restore.") from None
    except sqlite3.DatabaseError:
        pass  # it is damaged, which may be why it is replaced
    kept = live.with_name(f"{live.name}.before-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}")
    for suffix in ("", "-wal", "-shm"):
        part = live.with_name(live.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    return kept
