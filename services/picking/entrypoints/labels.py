"""Texts that store staff see, in both languages."""

from oms.common.v1 import common_pb2
from oms.common.v1.common_pb2 import LocalizedText
from oms.picking.v1 import picking_events_pb2 as events
from oms.picking.v1 import picking_service_pb2 as wire

STATUS = {
    wire.TASK_STATUS_OPEN: LocalizedText(fr="À préparer", en="To pick"),
    wire.TASK_STATUS_CLAIMED: LocalizedText(fr="En préparation", en="Being picked"),
    wire.TASK_STATUS_COMPLETED: LocalizedText(fr="Préparée", en="Picked"),
    wire.TASK_STATUS_PUTTING_BACK: LocalizedText(
        fr="Annulée, articles à remettre en rayon", en="Cancelled, items to put back"
    ),
    wire.TASK_STATUS_CANCELLED: LocalizedText(fr="Annulée", en="Cancelled"),
}
TEMPERATURE = {
    common_pb2.TEMPERATURE_CLASS_AMBIENT: LocalizedText(fr="Ambiant", en="Ambient"),
    common_pb2.TEMPERATURE_CLASS_CHILLED: LocalizedText(fr="Frais", en="Chilled"),
    common_pb2.TEMPERATURE_CLASS_FROZEN: LocalizedText(fr="Surgelé", en="Frozen"),
}
SHORT_REASON = {
    events.SHORT_REASON_NOT_FOUND: LocalizedText(fr="Introuvable", en="Not found"),
    events.SHORT_REASON_DAMAGED: LocalizedText(fr="Abîmé", en="Damaged"),
}
