"""Goods changing hands: handovers to customers, shipments by carriers."""

from services.gateway.entrypoints.http.contracts import DELIVERY
from services.gateway.entrypoints.http.routes import Route

_GROUP = "/v1/groups/{group_id}"

ROUTES = (
    Route("GET", "/v1/handovers", DELIVERY["ListHandovers"], "List the handovers of a site"),
    Route(
        "GET",
        f"{_GROUP}/handover",
        DELIVERY["GetHandover"],
        "Show a handover",
        shows="handover",
    ),
    Route("POST", f"{_GROUP}:ready", DELIVERY["MarkReady"], "The group stands ready"),
    Route("POST", f"{_GROUP}:arrive", DELIVERY["AnnounceArrival"], "The customer is there"),
    Route("POST", f"{_GROUP}:handover", DELIVERY["HandOver"], "Give the goods for the code"),
    Route("GET", f"{_GROUP}/pickup-code", DELIVERY["GetPickupCode"], "Show the pickup code"),
    Route("GET", "/v1/shipments", DELIVERY["ListShipments"], "List the shipments of a site"),
    Route(
        "POST",
        f"{_GROUP}:hand-to-carrier",
        DELIVERY["HandToCarrier"],
        "The carrier takes the goods",
    ),
    Route("POST", f"{_GROUP}:delivered", DELIVERY["RecordDelivered"], "The goods are delivered"),
)
