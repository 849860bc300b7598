"""What the server counts, for Prometheus."""

from __future__ import annotations

from typing import Any

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in a registry of their own.

    Args:
        models: The model that is served, whose version and queue are shown.
    """

    def __init__(self, models: Any) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        kept: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter("tfl_serving_requests", "Requests answered.", ["entrypoint", "code"], **kept)
        self._seconds = Histogram("tfl_serving_seconds", "Seconds from head to answer.", ["entrypoint"], buckets=_SECONDS, **kept)
        nouns = models.latest.shipping.modality.nouns
        about_batches = f"{nouns.capitalize()} the model saw at once."
        self._rows = Histogram(f"tfl_serving_batch_{nouns}", about_batches, buckets=_ROWS, **kept)
        Gauge(f"tfl_serving_waiting_{nouns}", f"{nouns.capitalize()} that wait for the model.", **kept).set_function(
            lambda: float(models.latest.waiting)
        )
        Gauge("tfl_serving_expected_wait_seconds", "How long a new request is expected to wait.", **kept).set_function(
            lambda: float(models.latest.expected_wait_s)
        )
        Gauge("tfl_serving_version", "The version that is served.", **kept).set_function(lambda: float(models.latest.number))
        models.on_batch = self._rows.observe

    def answered(self, entrypoint: str, code: str, seconds: float) -> None:
        """Counts a request, over `REST` or `gRPC`."""
        self._requests.labels(entrypoint, code).inc()
        self._seconds.labels(entrypoint).observe(seconds)

    def page(self) -> bytes:
        """The text format of Prometheus."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
