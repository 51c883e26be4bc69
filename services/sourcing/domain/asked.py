"""One choice of an order while sites are looked at for it: its needs, its circles, its ways."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.sourcing.domain.demands import Option
from services.sourcing.domain.nearest import nearest_extended
from services.sourcing.domain.network import Capability, Network
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import AMBIENT, Choice, Rejection, Tier, Why

AMBIENT_ONLY = (AMBIENT,)


@dataclass(frozen=True, slots=True)
class Need:
    """What one choice needs of one product: base units, grams of one, temperature."""

    demand: int
    sku: str
    quantity: int
    weight_g: int
    temperature: str


@dataclass(slots=True)
class Way:
    """An option with all that its receipt and its group need. Not frozen: made by the dozen."""

    option: Option
    choice_index: int
    handover_site_id: str
    promised_at: datetime
    tier: Tier
    preparation: int
    transport: int
    transfer: int
    transport_per_unit: dict[int, int]
    transfer_per_unit: dict[int, int]


@dataclass(slots=True)
class Asked:
    """One choice with its needs, while its options are gathered."""

    index: int
    choice: Choice
    needs: tuple[Need, ...]
    circles: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    handover_site_id: str | None = None
    is_collected: bool = False
    is_possible: bool = True
    ways: list[Way] = field(default_factory=list[Way])
    rejections: list[Rejection] = field(default_factory=list[Rejection])
    seen: set[str] = field(default_factory=set[str])
    late_supply: dict[str, int] = field(default_factory=dict[str, int])
    grams: int = 0
    # The least that opening a group costs, and a gram, among all who were looked at so far.
    opening: int | None = None
    per_g: int | None = None

    def reject(self, site_id: str, why: Why, sku: str = "") -> None:
        self.rejections.append(Rejection(self.index, site_id, why, sku))

    @property
    def is_capable_nowhere(self) -> bool:
        return not self.is_possible or (
            not self.ways
            and all(
                each.reason in {Why.INACTIVE, Why.NOT_CAPABLE, Why.TEMPERATURE, Why.NO_HANDOVER}
                for each in self.rejections
            )
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at one circle for one choice."""

    asked: Asked
    tier: int
    network: Network
    policy: Policy
    at: datetime


type Supply = Sequence[tuple[Need, int]]


def ask(index: int, choice: Choice, needs: tuple[Need, ...], network: Network) -> Asked:
    """Fix what the customer fixed, and find the circles of sites to look at, nearest first."""
    asked = Asked(index, choice, needs)
    asked.grams = sum(need.quantity * need.weight_g for need in needs)
    asked.is_collected = network.is_collected(choice.mode_id, choice.mode_version, choice.site_id)
    if choice.site_id and asked.is_collected:
        asked.handover_site_id = choice.site_id
        asked.circles = network.circles_of_site(choice.site_id)
        _check_handover(asked, network)
    elif choice.site_id:
        asked.circles = ((choice.site_id,), ())
    elif asked.is_collected or not network.extended_sites:
        asked.circles = (tuple(sorted(network.sites)), ())
    else:
        asked.circles = network.circles_of_extended(nearest_extended(choice, network))
    return asked


def _check_handover(asked: Asked, network: Network) -> None:
    site = network.sites.get(asked.choice.site_id)
    capability = network.capability(asked.choice.site_id, asked.choice.mode_id)
    why = None
    if site is None or capability is None or not capability.can_hand_over:
        why = Why.NOT_CAPABLE
    elif not site.is_active:
        why = Why.INACTIVE
    elif any(not keeps(capability, need.temperature) for need in asked.needs):
        why = Why.TEMPERATURE
    if why is not None:
        asked.reject(asked.choice.site_id, why)
        asked.is_possible = False


def keeps(capability: Capability, temperature: str) -> bool:
    return temperature in (capability.temperatures or AMBIENT_ONLY)
