"""Measurements and traces: every name in one place."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_NAMESPACE = "oms"
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 4_000)


class Metrics:
    """The kernel's instruments, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.append_seconds = Histogram(
            "append_seconds",
            "One batch, from connection to commit",
            buckets=_SECONDS,
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.append_batch_size = Histogram(
            "append_batch_commands",
            "Commands in one commit",
            buckets=_SIZES,
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "append_queue_commands",
            "Commands that wait to be appended",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.relayed = Counter(
            "relayed_events",
            "Public events handed to the bus",
            ["topic"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.follower_failures = Counter(
            "follower_failures",
            "Batches of the log that a follower failed on",
            ["follower"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.consumed = Counter(
            "consumed_messages",
            "Messages that had effect",
            ["group"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.consume_seconds = Histogram(
            "consume_seconds",
            "One batch of a group",
            ["group"],
            buckets=_SECONDS,
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.watermark_lag_seconds = Gauge(
            "watermark_lag_seconds",
            "Age of the newest message handled, when it was handled",
            ["group", "topic"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.parked = Gauge(
            "parked_streams",
            "Streams that wait for a redrive",
            ["group"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )


METRICS = Metrics()
