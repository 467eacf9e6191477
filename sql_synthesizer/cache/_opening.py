"""Which backend the settings name; the client of a server is loaded only then."""

from __future__ import annotations

from sql_synthesizer.cache._backends import Backend, MemoryBackend
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings import Settings


def open_backend(settings: Settings) -> Backend | None:
    """The backend that the settings name, not connected yet; None when the cache is off. Raises ConfigurationError."""
    backend: Backend | None = None
    if settings.cache == "memory":
        backend = MemoryBackend(settings.cache_entries)
    elif settings.cache == "memcached":
        from sql_synthesizer.cache._memcached import Memcached  # noqa: PLC0415

        backend = Memcached(settings.memcached_servers, settings.cache_timeout)
    elif settings.cache == "redis":
        if settings.redis_url is None:
            raise ConfigurationError("The cache is 'redis', but REDIS_URL is not set.")
        from sql_synthesizer.cache._redis import Redis  # noqa: PLC0415

        try:
            backend = Redis(settings.redis_url.get_secret_value(), settings.cache_timeout)
        except ValueError:
            raise ConfigurationError("REDIS_URL is not a Redis URL, such as redis://127.0.0.1:6379/0.") from None
    return backend
