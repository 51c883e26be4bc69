"""Values of an order in the words of the contract, wherever an answer shows them."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_events_pb2 as events
from oms.order.v1 import order_service_pb2 as wire

from services.order.domain import mode, order_events
from services.order.domain.mode import Temperature

TEMPERATURES = {
    one: common.TemperatureClass.Value(f"TEMPERATURE_CLASS_{one.name}") for one in Temperature
}


def step_shown(step: mode.Step) -> common.Step:
    return common.Step(
        step_id=step.step_id,
        type=common.StepType.Value(f"STEP_TYPE_{step.type.name}"),
        completes_on=common.Milestone.Value(f"MILESTONE_{step.completes_on.name}"),
        label=common.LocalizedText(fr=step.label_fr, en=step.label_en),
        visibility=visibility_shown(step),
        cancellable=step.cancellable,
        optional=step.optional,
    )


def visibility_shown(step: mode.Step) -> "common.Visibility.ValueType":
    return common.Visibility.Value(f"VISIBILITY_{step.visibility.name}")


def group_shown(group: order_events.Group) -> events.Group:
    return events.Group(
        group_id=group.group_id,
        mode_id=group.mode_id,
        mode_version=group.mode_version,
        source_site_id=group.source_site_id,
        handover_site_id=group.handover_site_id,
        lines=[
            common.GroupLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
            for line in group.lines
        ],
        promised_at=timestamp_of(group.promised_at),
    )


def choice_shown(choice: mode.Choice) -> events.Choice:
    return events.Choice(
        mode_id=choice.mode_id,
        mode_version=choice.mode_version,
        site_id=choice.site_id,
        destination=destination_shown(choice.destination),
        wanted_at=timestamp_of(choice.wanted_at),
    )


def destination_shown(where: mode.Destination | None) -> common.Destination | None:
    if where is None:
        return None
    position = None
    if where.latitude_e6 is not None and where.longitude_e6 is not None:
        position = common.Position(latitude_e6=where.latitude_e6, longitude_e6=where.longitude_e6)
    return common.Destination(postcode=where.postcode, country=where.country, position=position)


def fee_shown(one: mode.Mode) -> wire.ModeFee:
    return wire.ModeFee(mode_id=one.mode_id, mode_version=one.version, fee_minor=one.fee_minor)


def alternative_shown(one: order_events.Alternative) -> events.Alternative:
    return events.Alternative(site_id=one.site_id, sku=one.sku, available=one.available)


def timestamp_of(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
