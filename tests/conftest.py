"""Fixtures of all tests."""

from hypothesis import HealthCheck, settings

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")  # how long an example takes says how busy the machine is

pytest_plugins = ["tests.support.databases", "tests.support.caches", "tests.support.app"]
