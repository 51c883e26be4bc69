"""The two modes of the made-up chain, in the words of the public API."""

from typing import Any

from services.demo.domain.goods import CURRENCY
from services.demo.domain.network import COLLECT, HOME


def modes() -> tuple[dict[str, Any], ...]:
    confirmed = _step("confirmed", "system", "reserved", "Confirmée", "Confirmed", cancellable=True)
    picking = _step(
        "picking", "work", "picked", "En préparation", "Being prepared", cancellable=True
    )
    return (
        {
            "mode_id": COLLECT,
            "version": 1,
            "label": {"fr": "Retrait sur place", "en": "Click and collect"},
            "choice_kind": "site",
            "fee": {"amount_minor": 0, "currency": CURRENCY},
            "steps": [
                confirmed,
                picking,
                _step("staging", "work", "ready", "", "", visibility="hidden"),
                _step(
                    *("arrival", "wait", "arrived"),
                    *("Prête : vous pouvez venir", "Ready: you can come"),
                    visibility="label",
                    optional=True,
                ),
                _step("handover", "handover", "handed_over", "Retirée", "Collected"),
            ],
        },
        {
            "mode_id": HOME,
            "version": 1,
            "label": {"fr": "Livraison à domicile", "en": "Home delivery"},
            "choice_kind": "destination",
            "fee": {"amount_minor": 590, "currency": CURRENCY},
            "steps": [
                confirmed,
                picking,
                _step(
                    *("dispatch", "transport", "handed_to_carrier"),
                    *("Remise au transporteur", "Handed to the carrier"),
                ),
                _step("delivery", "transport", "delivered", "Livrée", "Delivered"),
            ],
        },
    )


def _step(
    step_id: str,
    kind: str,
    completes_on: str,
    fr: str,
    en: str,
    *,
    visibility: str = "label_and_time",
    cancellable: bool = False,
    optional: bool = False,
) -> dict[str, Any]:
    return {
        "step_id": step_id,
        "type": kind,
        "completes_on": completes_on,
        "label": {"fr": fr, "en": en},
        "visibility": visibility,
        "cancellable": cancellable,
        "optional": optional,
    }
