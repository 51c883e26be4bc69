"""What the pages say, in French and English."""

import re
from collections.abc import Mapping
from datetime import datetime

from oms.common.v1.common_pb2 import LocalizedText

LANGUAGES = ("fr", "en")
_NARROW, _WIDE = "\u202f", "\u00a0"  # French thousands; before the currency sign
_SIGNS = {"EUR": "€", "GBP": "£", "USD": "$"}

TEXTS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "title": "Votre commande",
        "order": "Commande",
        "placed": "Commande reçue : nous réservons vos produits",
        "accepted": "Commande confirmée",
        "refused": "Commande refusée",
        "cancelled": "Commande annulée",
        "completed": "Commande terminée",
        "unspecified": "Commande",
        "steps": "Étapes",
        "group": "Partie {n} sur {total}",
        "articles_one": "{n} article",
        "articles_many": "{n} articles",
        "done": "terminé",
        "current": "en cours",
        "todo": "à venir",
        "promised": "Prévue le {time}",
        "pickup_code": "Code de retrait",
        "pickup_help": "À montrer au comptoir quand vous venez chercher votre commande.",
        "messages": "Messages",
        "no_messages": "Aucun message pour l’instant.",
        "total": "Total",
        "refunded": "Remboursé",
        "live": "Cette page se met à jour toute seule.",
        "reload": "Actualiser",
        "other_language": "English",
        "not_found": "Cette adresse ne mène à aucune commande",
        "not_found_help": "Vérifiez le lien reçu avec votre commande.",
        "away": "Le suivi n’est pas disponible pour l’instant",
        "away_help": "Réessayez dans un moment : votre commande n’est pas touchée.",
        "start": "So’OMS",
        "latest": "Dernières commandes",
        "no_orders": "Aucune commande encore.",
        "api": "Interface de programmation",
        "date": "%d/%m/%Y à %H:%M",
    },
    "en": {
        "title": "Your order",
        "order": "Order",
        "placed": "Order received: we are reserving your products",
        "accepted": "Order confirmed",
        "refused": "Order refused",
        "cancelled": "Order cancelled",
        "completed": "Order completed",
        "unspecified": "Order",
        "steps": "Steps",
        "group": "Part {n} of {total}",
        "articles_one": "{n} item",
        "articles_many": "{n} items",
        "done": "done",
        "current": "in progress",
        "todo": "to come",
        "promised": "Expected {time}",
        "pickup_code": "Pickup code",
        "pickup_help": "Show it at the counter when you collect your order.",
        "messages": "Messages",
        "no_messages": "No messages yet.",
        "total": "Total",
        "refunded": "Refunded",
        "live": "This page updates by itself.",
        "reload": "Refresh",
        "other_language": "Français",
        "not_found": "This address leads to no order",
        "not_found_help": "Check the link that you got with your order.",
        "away": "Tracking is not available at the moment",
        "away_help": "Try again in a moment: your order is not affected.",
        "start": "So’OMS",
        "latest": "Latest orders",
        "no_orders": "No orders yet.",
        "api": "Programming interface",
        "date": "%d %b %Y, %H:%M",
    },
}


def language_of(asked: str, accepted: str) -> str:
    """Return the language of a page: what the address asks, else what the browser prefers.

    >>> language_of("", "de, en-GB;q=0.8, fr;q=0.9")
    'fr'
    """
    if asked in LANGUAGES:
        return asked
    weighted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:200].split(",")):
        name, _, quality = part.strip().partition(";q=")
        language = name.strip().lower()[:2]
        if language in LANGUAGES:
            weight = float(quality) if re.fullmatch(r"[01](\.\d{1,3})?", quality) else 1.0
            if weight > 0:
                weighted.append((-weight, place, language))
    return min(weighted)[2] if weighted else "fr"


def in_language(text: LocalizedText, language: str) -> str:
    """Return the text in the language, or in the other one rather than nothing."""
    return (text.en or text.fr) if language == "en" else (text.fr or text.en)


def amount(minor: int, currency: str, language: str) -> str:
    """Return an amount as people write it.

    >>> amount(123456, "EUR", "en")
    '€1,234.56'
    """
    sign = _SIGNS.get(currency, currency)
    units, cents = divmod(abs(minor), 100)
    minus = "-" if minor < 0 else ""
    if language == "en":
        return f"{minus}{sign}{units:,}.{cents:02}"
    grouped = f"{units:,}".replace(",", _NARROW)
    return f"{minus}{grouped},{cents:02}{_WIDE}{sign}"


def moment(at: datetime, language: str) -> str:
    """Return a time as people write it; ``at`` is in the zone to tell it in."""
    return at.strftime(TEXTS[language]["date"])
