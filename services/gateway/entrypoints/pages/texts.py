"""What the pages say, in French and English."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from oms.catalog.v1.catalog_events_pb2 import Product
from oms.common.v1 import common_pb2 as common
from oms.common.v1.common_pb2 import LocalizedText

from services.kernel.domain.money import WIDE, grouped

LANGUAGES = ("fr", "en")
_UNITS: Mapping[int, tuple[str, str]] = {
    common.UNIT_GRAM: ("g", "kg"),
    common.UNIT_MILLILITRE: ("ml", "l"),
}
_QUALITY = re.compile(r"\s*q=([01](?:\.\d{0,3})?)\s*", re.IGNORECASE)
_LARGE = 1000  # grams in a kilogram, millilitres in a litre

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
        "older_messages": "Messages précédents",
        "newest_messages": "Derniers messages",
        "total": "Total",
        "charged": "Débité",
        "refunded": "Remboursé",
        "live": "Cette page se met à jour toute seule.",
        "reload": "Actualiser",
        "other_language": "English",
        "not_found": "Cette adresse ne mène à aucune commande",
        "not_found_help": "Vérifiez le lien reçu avec votre commande.",
        "lost": "Cette adresse ne mène nulle part",
        "lost_help": "Vérifiez qu’elle est complète ; un lien coupé en deux perd sa fin.",
        "away": "Le suivi n’est pas disponible pour l’instant",
        "away_help": "Réessayez dans un moment : votre commande n’est pas touchée.",
        "start": "So’OMS",
        "latest": "Dernières commandes",
        "no_orders": "Aucune commande encore.",
        "api": "Interface de programmation",
        "date": "%d/%m/%Y à %H:%M",
        "goods": "Vos produits",
        "place": "Où venir",
        "days": "lun. mar. mer. jeu. ven. sam. dim.",
        "closed": "fermé",
        "all": "toutes",
        "status_placed": "reçue",
        "status_accepted": "en cours",
        "status_completed": "terminée",
        "status_refused": "refusée",
        "status_cancelled": "annulée",
        "filter": "Montrer\u00a0:",
        "stock": "Stock",
        "stock_help": "Produits par site, et leurs écritures",
        "next": "Suivantes",
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
        "older_messages": "Earlier messages",
        "newest_messages": "Latest messages",
        "total": "Total",
        "charged": "Charged",
        "refunded": "Refunded",
        "live": "This page updates by itself.",
        "reload": "Refresh",
        "other_language": "Français",
        "not_found": "This address leads to no order",
        "not_found_help": "Check the link that you got with your order.",
        "lost": "This address leads nowhere",
        "lost_help": "Check that it is complete; a link broken in two loses its end.",
        "away": "Tracking is not available at the moment",
        "away_help": "Try again in a moment: your order is not affected.",
        "start": "So’OMS",
        "latest": "Latest orders",
        "no_orders": "No orders yet.",
        "api": "Programming interface",
        "date": "%d %b %Y, %H:%M",
        "goods": "Your products",
        "place": "Where to come",
        "days": "Mon Tue Wed Thu Fri Sat Sun",
        "closed": "closed",
        "all": "all",
        "status_placed": "received",
        "status_accepted": "in progress",
        "status_completed": "completed",
        "status_refused": "refused",
        "status_cancelled": "cancelled",
        "filter": "Show:",
        "stock": "Stock",
        "stock_help": "Products by site, and their entries",
        "next": "Next",
    },
}


def language_of(asked: str, accepted: str) -> str:
    """Return the language of a page: what the address asks, else what the browser prefers.

    >>> language_of("", "de, en-GB;q=0.8, fr;q=0.9")
    'fr'
    >>> language_of("", "fr; q=0.1, en; q=0.9")
    'en'
    """
    if asked in LANGUAGES:
        return asked
    weighted: list[tuple[float, int, str]] = []
    for place, (name, weight) in enumerate(_weights(accepted)):
        language = name.partition("-")[0]
        if language in LANGUAGES and weight > 0:
            weighted.append((-weight, place, language))
    return min(weighted)[2] if weighted else "fr"


def is_for_people(accepted: str) -> bool:
    """Tell whether a page is wanted: browsers ask for one by name, programs for JSON or anything.

    >>> is_for_people("text/html,application/xml;q=0.9,*/*;q=0.8"), is_for_people("*/*")
    (True, False)
    """
    weights = dict(_weights(accepted))
    page = weights.get("text/html", 0)
    return page > 0 and page >= max(
        weights.get("application/json", 0), weights.get("application/problem+json", 0)
    )


def _weights(accepted: str) -> Iterator[tuple[str, float]]:
    """Return what a header accepts, in lower case, and how much of 1 it is liked."""
    for part in accepted[:200].split(","):
        name, _, quality = part.partition(";")
        told = _QUALITY.fullmatch(quality)
        yield name.strip().lower(), float(told[1]) if told else 1.0


def in_language(text: LocalizedText, language: str) -> str:
    """Return the text in the language, or in the other one rather than nothing."""
    return (text.en or text.fr) if language == "en" else (text.fr or text.en)


def product_name(product: Product, language: str) -> str:
    """Return what the product is called in the language; its one name where nothing is said."""
    told = product.localized_name
    return (told.en if language == "en" else told.fr) or product.name


def moment(at: datetime, language: str) -> str:
    """Return a time as people write it; ``at`` is in the zone to tell it in."""
    return at.strftime(TEXTS[language]["date"])


def quantity(base_units: int, unit: int, language: str) -> str:
    r"""Return how much of a product as people write it.

    Args:
        base_units: Pieces, grams or millilitres, as ``unit`` says.
        unit: Of the product.
        language: For the decimal sign.

    >>> quantity(1250, common.UNIT_GRAM, "en"), quantity(2, common.UNIT_PIECE, "fr")
    ('1.25\xa0kg', '2\xa0×')
    """
    small, large = _UNITS.get(unit, ("×", ""))
    minus = "-" if base_units < 0 else ""
    if not large or abs(base_units) < _LARGE:
        return f"{minus}{grouped(abs(base_units), language)}{WIDE}{small}"
    whole, rest = divmod(abs(base_units), _LARGE)
    decimals = f"{rest:03}".rstrip("0")
    point = "." if language == "en" else ","
    fraction = point + decimals if decimals else ""
    return f"{minus}{grouped(whole, language)}{fraction}{WIDE}{large}"


def level(base_units: int, unit: int, language: str) -> str:
    r"""Return how much there is, or how much it moved: pieces are counted without a sign.

    >>> level(60645, common.UNIT_GRAM, "fr"), level(-1200, common.UNIT_PIECE, "en")
    ('60,645\xa0kg', '-1,200')
    """
    return quantity(base_units, unit, language).removesuffix(f"{WIDE}×")


def hours(spans: Mapping[int, Sequence[tuple[int, int]]], language: str) -> list[str]:
    """Return a week's opening hours, days with the same hours together; none if none are known.

    Args:
        spans: Minutes after midnight from and to, by ISO weekday.
        language: Of the days' names.

    >>> hours({day: [(510, 1230)] for day in range(1, 7)}, "en")
    ['Mon - Sat: 08:30 - 20:30', 'Sun: closed']
    """
    if not spans:
        return []
    text = TEXTS[language]
    names = text["days"].split()
    runs: list[tuple[int, int, str]] = []
    for day in range(1, 8):
        told = ", ".join(f"{_clock(a)} - {_clock(b)}" for a, b in sorted(spans.get(day, ())))
        if runs and runs[-1][2] == told:
            runs[-1] = (runs[-1][0], day, told)
        else:
            runs.append((day, day, told))
    return [
        f"{names[first - 1]}{f' - {names[last - 1]}' if last > first else ''}"
        f"{WIDE if language == 'fr' else ''}: {told or text['closed']}"
        for first, last, told in runs
    ]


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
