"""Where a broker comes from: the one that is given, Docker, the broker's own jars, a mock."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from services.kernel.adapters import broker_jars, broker_stand_ins
from services.kernel.adapters.broker import Broker, GivenBroker, NoBroker

KINDS = ("given", "docker", "jars", "mock")
REAL = ("given", "docker", "jars")
OURS = ("docker", "jars")

type Say = Callable[[str], None]


def start_broker(folder: Path, say: Say, kinds: Sequence[str] = KINDS) -> Broker:
    """Start the best broker that can be had here, and say which and why not a better one.

    Args:
        folder: For its data and its log.
        say: Told one line per way that did not work, and what the broker cannot show.
        kinds: Ways that may be tried; ``OMS_BROKER`` names one of them to try only that.

    Raises:
        NoBroker: No way works; with the reason of each.
    """
    chosen = os.environ.get("OMS_BROKER", "")
    if chosen and chosen not in KINDS:
        raise NoBroker(f"OMS_BROKER is {chosen!r}: one of {', '.join(KINDS)}, or empty")
    reasons: list[str] = []
    for kind in kinds:
        if chosen and kind != chosen:
            continue
        try:
            broker = _broker(kind, folder)
            broker.start()
        except NoBroker as reason:
            reasons.append(f"{kind}: {reason}")
            if kind == "given" and os.environ.get("OMS_KAFKA_BOOTSTRAP_SERVERS"):
                break  # whoever names one does not want another
            continue
        if broker.caveat:
            for reason_ in reasons:
                say(f"no better broker ({reason_})")
            say(f"ATTENTION: {broker.caveat}")
        return broker
    raise NoBroker("; ".join(reasons) or f"none of {', '.join(kinds)} may be {chosen}")


def _broker(kind: str, folder: Path) -> Broker:
    match kind:
        case "given":
            address = os.environ.get("OMS_KAFKA_BOOTSTRAP_SERVERS", "")
            if not address:
                raise NoBroker("OMS_KAFKA_BOOTSTRAP_SERVERS is not set")
            return GivenBroker(address)
        case "docker":
            broker_stand_ins.need_docker()
            return broker_stand_ins.ContainerBroker(folder)
        case "jars":
            broker_jars.java()
            broker_jars.jars()
            return broker_jars.JarBroker(folder)
        case _:
            broker_stand_ins.need_mock()
            return broker_stand_ins.MockBroker(folder)
