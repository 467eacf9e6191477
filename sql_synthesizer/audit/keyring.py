"""The keys of the audit record: they live outside its directory, have ids, and can be rotated."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import write_file

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Key:
    """One key: ``chain`` seals records, ``values`` hashes what they may not hold in clear, ``id`` reveals neither."""

    id: str
    chain: bytes
    values: bytes


class Keyring:
    """The keys of a file, one a line in hexadecimal, the newest last; it is made where there is none.

    Old keys stay in it: what they sealed is verified with them. Raises ConfigurationError, also when there is none and
    none is to be made.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self.path = path
        self._keys: dict[str, Key] = {}
        self._seen = 0
        try:
            if make and not path.exists():
                with suppress(FileExistsError):  # another process made it first
                    _write_secrets(path, [os.urandom(SECRET_BYTES)], replace=False)
        except OSError as error:
            raise _key_file_error(path, type(error).__name__) from None
        self.reload()

    @property
    def current(self) -> Key:
        """The key that seals from now on."""
        return next(reversed(self._keys.values()))

    def get(self, key_id: str) -> Key | None:
        """The key of this id."""
        return self._keys.get(key_id)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def reload(self) -> bool:
        """Reads the file again if it has changed since; whether it has.

        Raises ConfigurationError when it is gone or damaged; the keys stay as they were, and none is made.
        """
        try:
            changed = self.path.stat().st_mtime_ns
            if changed == self._seen:
                return False
            secrets = self._read_secrets()
        except (OSError, ValueError) as error:
            raise _key_file_error(self.path, type(error).__name__) from None
        if not secrets or any(len(secret) != SECRET_BYTES for secret in secrets):
            raise ConfigurationError(
                f"The audit key {self.path} is damaged: each line has to hold {SECRET_BYTES} bytes in hexadecimal."
            )
        self._seen = changed
        self._keys = {key.id: key for key in map(derive_key, secrets)}
        return True

    def add(self, secret: bytes) -> Key:
        """Makes this the current key, here and in the file. Raises OSError."""
        _write_secrets(self.path, [*self._read_secrets(), secret], replace=True)
        self.reload()
        return self.current

    def _read_secrets(self) -> list[bytes]:
        return [bytes.fromhex(line) for line in self.path.read_text(encoding="ascii").split()]


def _key_file_error(path: Path, fault: str) -> ConfigurationError:
    return ConfigurationError(f"The audit key {path} cannot be read or made: {fault}.")


def derive_key(secret: bytes) -> Key:
    """The key that belongs to a secret of 32 bytes."""
    return Key(_derive_bytes(secret, b"id", 4).hex(), _derive_bytes(secret, b"chain"), _derive_bytes(secret, b"values"))


def _derive_bytes(secret: bytes, purpose: bytes, size: int = 32) -> bytes:
    return hashlib.blake2b(key=secret, person=purpose, digest_size=size).digest()


def _write_secrets(path: Path, secrets: list[bytes], *, replace: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (f"{secret.hex()}\n".encode() for secret in secrets), replace=replace)
