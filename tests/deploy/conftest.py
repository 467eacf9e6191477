"""Fixtures of the tests of deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.support import make_secrets


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume of secrets, as the one-shot service makes it."""
    root = tmp_path_factory.mktemp("secrets")
    make_secrets(root)
    return root
