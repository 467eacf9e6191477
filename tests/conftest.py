"""Fixtures of all tests."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.second_reader import reading_twice

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")  # how long an example takes says how busy the machine is

pytest_plugins = ["tests.support.databases", "tests.support.data", "tests.support.caches", "tests.support.app"]

LONG_FILES = (
    "test_drill.py",
    "test_secrets.py",
    "test_events.py",
    "test_public_names.py",
    "test_readme.py",
    "test_keys.py",
)
"""Files in which one test alone takes half a minute: started last, they would keep one worker busy alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets the long files start first."""
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


@pytest.fixture(scope="session", autouse=True)
def read_again() -> Iterator[Counter[str]]:
    """Whatever a guard lets pass for PostgreSQL in any test, PostgreSQL's own parser reads as the guard did."""
    with reading_twice() as counted:
        yield counted
