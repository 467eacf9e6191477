"""The metrics of one application: a registry, the observer that updates it, and how it is read."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, RestrictedRegistry

from sql_synthesizer.monitoring import catalog, multiprocess
from sql_synthesizer.monitoring.clock import with_ages
from sql_synthesizer.monitoring.observer import MetricsObserver
from sql_synthesizer.monitoring.resources import ProcessTree
from sql_synthesizer.telemetry import Telemetry

SECURITY_EVENTS = catalog.BY_NAME[catalog.PREFIX + "security_events_total"]


class FacadeRegistry(CollectorRegistry):
    """Folds what is pending on the facade before it is read, for whoever renders it."""

    def __init__(self, facade: Telemetry) -> None:
        super().__init__()
        self._facade = facade

    def collect(self) -> Iterable[Metric]:
        """Every family, up to date."""
        self._facade.fold()
        return with_ages(super().collect())

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        """The families of these names, up to date."""
        self._facade.fold()
        return super().restricted_registry(names)


class Measured:
    """The metrics of one facade. In multi-process mode those of all processes of the directory are read."""

    def __init__(self, facade: Telemetry) -> None:
        self._facade = facade
        self.registry = FacadeRegistry(facade)
        self.observer = MetricsObserver(self.registry, facade.declared)
        self._usage = ProcessTree()
        events = self.observer.client("security_events_total")
        for pair in SECURITY_EVENTS.combinations(facade.declared):
            events.labels(*pair)
        if multiprocess.directory is None:
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=self.registry)

    def read_fresh(self) -> Collector:
        """What to render: everything pending is folded, and gauges are up to date."""
        self._facade.fold(readings=True)
        if multiprocess.directory is not None:
            return multiprocess.SharedCollector(multiprocess.directory)
        self.set_usage()
        return self.registry

    def set_usage(self) -> None:
        """Sets memory and CPU of this process and its children."""
        resident, percent = self._usage.sample()
        self.observer.client("memory_usage_bytes").set(resident)
        self.observer.client("cpu_usage_percent").set(percent)
