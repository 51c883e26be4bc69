"""What a Kafka bus is told, and every argument that follows from it for each of its clients."""

import ssl
from dataclasses import dataclass
from typing import Any

from faststream.middlewares import AckPolicy
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

# A request to which nothing is to be answered waits so long at the broker. What is asked on its
# connection meanwhile waits with it.
_LONGEST_FETCH_MS = 1_000
# Of a feed for which nobody waits the broker gathers so much before it answers, or for that long:
# a request for every event costs it, and the reader, more than the event.
_GATHERED_BYTES = 64 << 10
_LONGEST_GATHERING_MS = 300

_MECHANISMS: dict[str, type[SASLPlaintext | SASLScram256 | SASLScram512]] = {
    "PLAIN": SASLPlaintext,
    "SCRAM-SHA-256": SASLScram256,
    "SCRAM-SHA-512": SASLScram512,
}


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Limits and addresses; the composition root fills it from the settings.

    Attributes:
        bootstrap_servers: ``host:port`` of some brokers.
        prefix: Before the name of every topic and group, so that installations share a cluster.
        client_id: How this process is called in the brokers' logs.
        security_protocol: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
        sasl_mechanism: ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
        username: For SASL.
        password: For SASL.
        ca_file: Who vouches for the brokers; empty: those the system trusts.
        cert_file: Our own certificate, where brokers ask for one.
        key_file: Its key.
        partitions: Of a topic that is created; never changed afterwards, or order would be lost.
        replication: Copies of a topic that is created.
        min_insync: How many copies an acknowledgement vouches for.
        retention_ms: How long a topic keeps events; -1: for ever.
        parked_retention_ms: How long the topics that tell of parked messages keep them.
        batch_messages: At most so many messages in one transaction of a consumer.
        batch_wait_ms: How long a read waits when nothing is there; what comes ends it at once.
        session_ms: A consumer that is silent for so long loses its partitions.
        heartbeat_ms: How often a consumer says that it lives.
        longest_batch_ms: A consumer that reads nothing for so long loses its partitions.
        request_ms: Patience with a broker, per request.
        finish_s: How long a batch in flight may take to end when its partition is taken away, or
            when the process stops.
    """

    bootstrap_servers: str
    prefix: str = ""
    client_id: str = "so-oms"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    partitions: int = 6
    replication: int = 1
    min_insync: int = 1
    retention_ms: int = -1
    parked_retention_ms: int = 1_209_600_000
    batch_messages: int = 500
    batch_wait_ms: int = 1_000
    session_ms: int = 30_000
    heartbeat_ms: int = 3_000
    longest_batch_ms: int = 300_000
    request_ms: int = 20_000
    finish_s: float = 10.0


def broker_arguments(options: KafkaOptions) -> dict[str, Any]:
    """Return how FastStream's ``KafkaBroker`` is made: it reads, and nothing else."""
    return {
        "bootstrap_servers": options.bootstrap_servers.split(","),
        "client_id": options.client_id,
        "request_timeout_ms": options.request_ms,
        "security": security(options),
        # FastStream's own producer (acks=1, not idempotent) is never made, nor its admin client,
        # which would create topics with the broker's defaults.
        "consumer_only": True,
        "allow_auto_create_topics": False,
        # A policy given here does not reach every subscriber, so each is told again.
        "ack_policy": AckPolicy.MANUAL,
        "graceful_timeout": options.finish_s,
        # No pydantic between the broker and us: it is ten times slower than what it would check.
        "apply_types": False,
        "serializer": None,
    }


def subscriber_arguments(options: KafkaOptions, group: str, *, is_urgent: bool) -> dict[str, Any]:
    """Return how each subscriber is made; FastStream's defaults would lose messages."""
    return {
        "group_id": group,
        "batch": True,
        "max_records": options.batch_messages,
        "batch_timeout_ms": options.batch_wait_ms,
        "fetch_max_wait_ms": _LONGEST_FETCH_MS if is_urgent else _LONGEST_GATHERING_MS,
        "fetch_min_bytes": 1 if is_urgent else _GATHERED_BYTES,
        # MANUAL is also what turns off aiokafka's auto-commit, which commits what is not handled.
        "ack_policy": AckPolicy.MANUAL,
        # "latest" would pass over what was published before the group first came.
        "auto_offset_reset": "earliest",
        "session_timeout_ms": options.session_ms,
        "heartbeat_interval_ms": options.heartbeat_ms,
        "max_poll_interval_ms": options.longest_batch_ms,
        # While a member still finishes its batch, the others wait for it.
        "rebalance_timeout_ms": options.session_ms,
        # Nothing is ever answered to an address that a message names.
        "no_reply": True,
    }


def producer_arguments(options: KafkaOptions) -> dict[str, Any]:
    """Return how the one ``AIOKafkaProducer`` of the process is made."""
    return client_arguments(options) | {
        "acks": "all",
        "enable_idempotence": True,
        # A batch is built whole by the bus and never split or joined by the client.
        "max_batch_size": 512 << 10,
        "max_request_size": 8 << 20,
        "linger_ms": 0,
    }


def reader_arguments(options: KafkaOptions) -> dict[str, Any]:
    """Return how somebody reads who only looks: no group, so nothing is shared, kept or moved."""
    return client_arguments(options) | {
        "group_id": None,
        "enable_auto_commit": False,
        # Where to begin is always said; what is no longer there must not be passed over in silence.
        "auto_offset_reset": "none",
    }


def client_arguments(options: KafkaOptions) -> dict[str, Any]:
    """Return what every client of aiokafka is told."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": options.bootstrap_servers.split(","),
        "client_id": options.client_id,
        "request_timeout_ms": options.request_ms,
        "security_protocol": options.security_protocol,
        "ssl_context": ssl_context(options),
    }
    if options.security_protocol.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": options.username,
            "sasl_plain_password": options.password,
        }
    return arguments


def security(options: KafkaOptions) -> BaseSecurity:
    """Return the same as FastStream wants to be told it."""
    context = ssl_context(options)
    if not options.security_protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=context is not None)
    return _MECHANISMS[options.sasl_mechanism](
        username=options.username,
        password=options.password,
        ssl_context=context,
        use_ssl=context is not None,
    )


def ssl_context(options: KafkaOptions) -> ssl.SSLContext | None:
    """Return how connections are encrypted, or nothing where the protocol does not."""
    if not options.security_protocol.endswith("SSL"):
        return None
    context = ssl.create_default_context(cafile=options.ca_file or None)
    if options.cert_file:
        context.load_cert_chain(options.cert_file, options.key_file or None)
    return context
