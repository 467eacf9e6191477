"""Settings: each says what it is for, has a default that would be accepted, and is read."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer_proof.mixin.checks.source import list_faults, words_beside, words_in


def setting_faults() -> Iterator[str]:
    """What a field of ``Settings`` or ``DatabaseSettings`` lacks."""
    said, own = words_beside("settings"), words_in("settings")
    for name, field in Settings.model_fields.items():
        used = {f"settings.{name}", f"_settings.{name}"} & said or f"self.{name}" in own
        yield from list_faults(f"setting {name}", {"it has no help": field.description, "nothing reads it": used})
    for name, field in DatabaseSettings.model_fields.items():
        used = {f"config.{name}", f".{name}"} & said
        yield from list_faults(
            f"database setting {name}", {"it has no help": field.description, "nothing reads it": used}
        )
    try:
        Settings(**{name: field.get_default() for name, field in Settings.model_fields.items()})
    except ValidationError as error:
        yield from (f"setting {fault['loc'][0]}: its default is refused: {fault['msg']}" for fault in error.errors())
