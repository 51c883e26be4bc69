"""How much a gRPC server takes on, and who of our own may call it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the server takes on.

    Attributes:
        call_timeout_s: For a call whose client set no deadline.
        longest_call_s: However late the client's deadline is.
        stream_timeout_s: The same two, for calls that answer with a stream.
        concurrent_calls: Calls at once, all services together; more are RESOURCE_EXHAUSTED.
        concurrent_streams: Streams at once; counted apart, because they are long and idle.
        streams_of_one: The same for one key, so that others have room; the gateway takes 300.
        request_bytes: Largest request message.
        response_bytes: Largest response message.
        metadata_bytes: Largest metadata of a request.
        retry_after_ms: What a refused caller is told to wait.
        guesses_at_once: Keys that nobody has, from one address, before the next are refused.
        guesses_per_s: How many more each second allows.
        connection_age_s: A connection is renewed after this, so that load spreads to new replicas.
        ping_every_s: Idle connections are probed this often; clients may not do it more often.
        grace_s: How long running calls may take to finish when the server stops.
    """

    call_timeout_s: float = 10.0
    longest_call_s: float = 60.0
    stream_timeout_s: float = 300.0
    concurrent_calls: int = 256
    concurrent_streams: int = 512
    streams_of_one: int = 320
    request_bytes: int = 1 << 20
    response_bytes: int = 4 << 20
    metadata_bytes: int = 16 << 10
    retry_after_ms: int = 250
    guesses_at_once: int = 20
    guesses_per_s: float = 0.5
    connection_age_s: float = 300.0
    ping_every_s: float = 20.0
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A secret of our own processes: its bearer acts for the tenant named in the metadata.

    Attributes:
        token: At least 128 bits, from a secret store.
        scopes: What its bearer may do.
        actor: Goes into the events as who asked.
    """

    token: str
    scopes: frozenset[str]
    actor: str = "internal"

    def __post_init__(self) -> None:
        if len(self.token) < 32:  # noqa: PLR2004 - 128 bits in hexadecimal
            raise ValueError("a service token has at least 32 characters")
