"""Texts that store staff and customers see, in both languages."""

from oms.common.v1.common_pb2 import LocalizedText
from oms.delivery.v1 import delivery_service_pb2 as wire

HANDOVER_STATUS = {
    wire.HANDOVER_STATUS_EXPECTED: LocalizedText(fr="Attendue", en="Expected"),
    wire.HANDOVER_STATUS_READY: LocalizedText(fr="Prête", en="Ready"),
    wire.HANDOVER_STATUS_HANDED_OVER: LocalizedText(fr="Remise au client", en="Handed over"),
    wire.HANDOVER_STATUS_CANCELLED: LocalizedText(fr="Annulée", en="Cancelled"),
}
SHIPMENT_STATUS = {
    wire.SHIPMENT_STATUS_EXPECTED: LocalizedText(
        fr="En attente du transporteur", en="Waiting for the carrier"
    ),
    wire.SHIPMENT_STATUS_HANDED_TO_CARRIER: LocalizedText(
        fr="Remise au transporteur", en="With the carrier"
    ),
    wire.SHIPMENT_STATUS_DELIVERED: LocalizedText(fr="Livrée", en="Delivered"),
    wire.SHIPMENT_STATUS_CANCELLED: LocalizedText(fr="Annulée", en="Cancelled"),
}
