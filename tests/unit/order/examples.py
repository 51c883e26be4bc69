"""Named examples of orders, modes and plans."""

from datetime import UTC, datetime

from services.order.domain.mode import (
    Choice,
    Destination,
    Milestone,
    Mode,
    Step,
    StepType,
    Temperature,
    Visibility,
)
from services.order.domain.order_events import Group, GroupLine, Line, OrderPlaced
from services.order.domain.pricing import AppliedDiscount

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

CONFIRMED = Step(
    "confirmed",
    StepType.SYSTEM,
    Milestone.RESERVED,
    "Confirmée",
    "Confirmed",
    Visibility.LABEL_AND_TIME,
    cancellable=True,
)
PICKING = Step(
    "picking",
    StepType.WORK,
    Milestone.PICKED,
    "En préparation",
    "Being prepared",
    Visibility.LABEL_AND_TIME,
    cancellable=True,
)
STAGING = Step(
    "staging", StepType.WORK, Milestone.READY, "Mise à quai", "Staging", Visibility.HIDDEN
)
ARRIVAL = Step(
    "arrival",
    StepType.WAIT,
    Milestone.ARRIVED,
    "Prête : vous pouvez venir",
    "Ready: you can come",
    Visibility.LABEL,
    optional=True,
)
HANDOVER = Step(
    "handover",
    StepType.HANDOVER,
    Milestone.HANDED_OVER,
    "Retirée",
    "Collected",
    Visibility.LABEL_AND_TIME,
)
DISPATCH = Step(
    "dispatch",
    StepType.TRANSPORT,
    Milestone.HANDED_TO_CARRIER,
    "Expédiée",
    "On its way",
    Visibility.LABEL_AND_TIME,
)
DELIVERY = Step(
    "delivery",
    StepType.TRANSPORT,
    Milestone.DELIVERED,
    "Livrée",
    "Delivered",
    Visibility.LABEL_AND_TIME,
)
COLLECT = Mode("click_and_collect", 1, 0, (CONFIRMED, PICKING, STAGING, ARRIVAL, HANDOVER))
HOME = Mode("home_delivery", 1, 490, (CONFIRMED, PICKING, DISPATCH, DELIVERY))

AT_LILLE = Choice("click_and_collect", 1, "LILLE")
AT_HOME = Choice("home_delivery", 1, "", Destination("59000", "FR", 50629250, 3057256))

MILK = Line("1", "MILK", 6, 0, 594, 95, Temperature.CHILLED)
PASTA = Line("2", "PASTA", 3, 1, 300, 5, Temperature.AMBIENT)

PLACED = OrderPlaced(
    "customer-7",
    "EUR",
    (MILK, PASTA),
    (AT_LILLE, AT_HOME),
    (COLLECT, HOME),
    (AppliedDiscount("WELCOME", 100),),
    NOON,
    "0b8e9f9c-4d0f-8f0a-9d4b-6d4b4fd4f0a1",
)
COLLECTED = Group(
    "O-1.1", "click_and_collect", 1, "LILLE", "LILLE", (GroupLine("1", "MILK", 6),), NOON
)
DELIVERED = Group(
    "O-1.2", "home_delivery", 1, "LILLE", "LILLE", (GroupLine("2", "PASTA", 3),), NOON
)
