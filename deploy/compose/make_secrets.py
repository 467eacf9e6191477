"""Makes what the containers keep secret, one directory a container, under the directory given; what exists is kept."""
# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import secrets
import sys
from pathlib import Path


def keep(path: Path, content: str, mode: int = 0o444) -> str:
    """What the file at ``path`` holds, after writing ``content`` to it if it was not there.

    Others may read it: a volume is mounted in one container only, whose user is not the one that writes.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        unfinished.write_text(content)
        unfinished.chmod(mode)
        unfinished.rename(path)
    return path.read_text()


def make(root: Path) -> None:
    """Makes every file that is missing."""
    owner = keep(root / "postgres/owner_password", secrets.token_urlsafe(24))
    reader = keep(root / "postgres/reader_password", secrets.token_urlsafe(24))
    keep(root / "demo/pgpass", f"postgres:5432:shop:shop_owner:{owner}\n", 0o400)
    keep(root / "app/database_url", f"postgresql://shop_reader:{reader}@postgres:5432/shop")
    keep(root / "grafana/admin_password", secrets.token_urlsafe(24))
    keep(root / "alertmanager/smtp_password", secrets.token_urlsafe(24))
    keep(root / "alertmanager/slack_api_url", "http://inbox:8025/slack")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
