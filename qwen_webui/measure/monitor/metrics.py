"""The same figures as Prometheus reads them: names, units and labels of /metrics.

Made anew for each scrape from what the manager counted and the latest sample, in a registry of its
own: nothing of the library's global one, and nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from qwen_webui.measure.monitor.monitor import Monitor
from qwen_webui.models.tally import Answered, Histogram

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PREFIX = "qwen_webui_"
SERVED = ("model", "precision")

# Field of a sample, its metric, what it is, and what one of ours is in the metric's unit.
_READINGS = (
    ("memory_used", "device_memory_used_bytes", "Memory of the device in use, by anybody", 1),
    ("memory_total", "device_memory_size_bytes", "Memory of the device", 1),
    ("engine", "engine_memory_bytes", "What the process that computes holds of it", 1),
    ("utilisation", "device_utilisation_ratio", "Busy share: SMs, or processors", 0.01),
    ("memory_utilisation", "device_memory_utilisation_ratio", "Busy share of memory", 0.01),
    ("power", "device_power_watts", "Power draw of the card", 1),
    ("temperature", "device_temperature_celsius", "Temperature of the card", 1),
    ("sm_clock", "device_sm_clock_hertz", "Clock of the multiprocessors", 1e6),
    ("memory_clock", "device_memory_clock_hertz", "Clock of the card's memory", 1e6),
    ("tokens_per_second", "tokens_per_second", "Tokens in the last second, all answers", 1),
)
_PARTS = (("weights", "weights"), ("cache", "kv_cache"), ("rest", "rest"), ("others", "others"))
_TOKENS: tuple[tuple[str, str, Callable[[Answered], int]], ...] = (
    ("prompt_tokens", "Tokens of the prompts of answers that ended", lambda a: a.prompt_tokens),
    ("cached_prompt_tokens", "Of those, read from the cache", lambda a: a.cached_tokens),
    ("completion_tokens", "Tokens generated, as they come", lambda a: a.completion_tokens),
)
_TIMES: tuple[tuple[str, str, Callable[[Answered], Histogram]], ...] = (
    ("time_to_first_token_seconds", "From the engine's start to a token", lambda a: a.first_token),
    ("request_seconds", "Whole answers, without the time in line", lambda a: a.seconds),
    ("decode_tokens_per_second", "Speed of an answer after its first token", lambda a: a.speed),
)


def metrics_text(monitor: Monitor) -> bytes:
    """The answer to one scrape, in the text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Now(monitor))
    return generate_latest(registry)


class _Now(Collector):
    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield from self._counts()
        yield from self._standing()
        yield from self._readings()

    def _counts(self) -> Iterator[Metric]:
        tally = self._monitor.manager.tally
        requests = _counter("requests", "Requests to the model by how they ended", SERVED, "reason")
        for served, answered in tally.answered.items():
            for reason, count in answered.outcomes.items():
                requests.add_metric((served.model, served.precision, reason), count)
        yield requests
        for name, text, tokens_of in _TOKENS:
            family = _counter(name, text, SERVED)
            for served, answered in tally.answered.items():
                family.add_metric((served.model, served.precision), tokens_of(answered))
            yield family
        for name, text, found, label in (
            ("errors", "Requests that ended with an error, by its code", tally.errors, "code"),
            ("model_loads", "Loads and swaps by how they ended", tally.loads, "reason"),
        ):
            family = _counter(name, text, (), label)
            for value, count in found.items():
                family.add_metric((value,), count)
            yield family
        yield _counter("memory_warnings", "Times that memory ran out", (), value=self._warned())
        for name, text, times_of in _TIMES:
            histogram = HistogramMetricFamily(PREFIX + name, text, labels=SERVED)
            for served, answered in tally.answered.items():
                times = times_of(answered)
                labels = (served.model, served.precision)
                histogram.add_metric(labels, _buckets(times), times.total)
            yield histogram

    def _warned(self) -> int:
        return self._monitor.warnings

    def _standing(self) -> Iterator[Metric]:
        status, monitor = self._monitor.manager.status(), self._monitor
        yield _gauge("requests_running", "Answers being computed", status.running)
        yield _gauge("requests_waiting", "Requests in line", status.waiting)
        yield _gauge("ready", "1 while a model answers", status.state == "ready")
        yield _gauge("memory_warning", "1 while memory runs out", monitor.threshold.crossed)
        info = GaugeMetricFamily(
            PREFIX + "model_info", "1 for the model that is loaded", labels=(*SERVED, "device")
        )
        if status.info is not None:
            checkpoint = status.info.checkpoint
            labels = (checkpoint.name, checkpoint.precision, status.info.device)
            info.add_metric(labels, 1)
        yield info

    def _readings(self) -> Iterator[Metric]:
        sample = self._monitor.latest
        if sample is None:
            return
        for field, name, text, unit in _READINGS:
            value = getattr(sample, field)
            if value is not None:
                yield _gauge(name, text, value * unit)
        parts = GaugeMetricFamily(
            PREFIX + "memory_part_bytes", "Memory in use by who holds it", labels=("part",)
        )
        for field, part in _PARTS:
            value = getattr(sample, field)
            if value is not None:
                parts.add_metric((part,), value)
        yield parts


def _counter(
    name: str, text: str, labels: tuple[str, ...], *more: str, value: float | None = None
) -> CounterMetricFamily:
    if value is not None:
        return CounterMetricFamily(PREFIX + name, text, value=value)
    return CounterMetricFamily(PREFIX + name, text, labels=(*labels, *more))


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=float(value))


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Prometheus counts in each bucket also those of all smaller ones."""
    ends = [*map(str, histogram.ends), "+Inf"]
    sums: list[tuple[str, float]] = []
    so_far = 0
    for end, count in zip(ends, histogram.counts, strict=True):
        so_far += count
        sums.append((end, so_far))
    return sums
