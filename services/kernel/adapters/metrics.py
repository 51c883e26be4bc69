"""Every instrument of the kernel, with its name and what it tells. No label holds an id."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

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
        self.consume_batch_size = Histogram(
            "consume_batch_messages",
            "Messages in one batch of a group that had effect",
            ["group"],
            buckets=_SIZES,
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.parked = Gauge(
            "parked_streams",
            "Streams that wait for a redrive",
            ["group", "topic"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.kafka_lag = Gauge(
            "kafka_lag_messages",
            "Messages of the partitions held here that were not dealt with yet",
            ["group", "topic"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.kafka_partitions = Gauge(
            "kafka_partitions_held",
            "Partitions that this process reads for the group",
            ["group", "topic"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.kafka_rebalances = Counter(
            "kafka_rebalances",
            "How often partitions were shared out anew to this process",
            ["group", "topic"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.kafka_passed_over = Counter(
            "kafka_passed_over",
            "Messages that were not beyond the watermark: repeated, or of a false position",
            ["group", "topic"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.kafka_batch_size = Histogram(
            "kafka_batch_messages",
            "Messages in one read",
            ["group", "topic"],
            buckets=_SIZES,
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.relay_lag_events = Gauge(
            "relay_lag_events",
            "Events recorded and not yet handed to the bus; 0 where another process publishes",
            ["service"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.projection_lag_events = Gauge(
            "projection_lag_events",
            "Events recorded and not yet in the read models; 0 where another process fills them",
            ["service"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.loop_lag_seconds = Gauge(
            "loop_lag_seconds",
            "By how much the event loop was late at its last heartbeat",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.rpc_seconds = Histogram(
            "rpc_seconds",
            "A served gRPC call",
            ["method", "code"],
            buckets=_SECONDS,
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self.forwarding_disbelieved_total = Counter(
            "forwarding_disbelieved_total",
            "HTTP requests whose X-Forwarded-For came from an address that is not trusted",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self._rpc: dict[tuple[str, str], Histogram] = {}

    def rpc_ended(self, method: str, code: str, duration_s: float) -> None:
        """Count one served gRPC call."""
        one = self._rpc.get((method, code))
        if one is None:  # labels() takes a lock and builds strings; once is enough
            one = self._rpc[method, code] = self.rpc_seconds.labels(method, code)
        one.observe(duration_s)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


METRICS = Metrics()
