"""Fixtures of all tests."""

pytest_plugins = ["tests.support.databases", "tests.support.caches", "tests.support.app"]
