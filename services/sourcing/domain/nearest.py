"""The extended site nearest to a destination: by position, else by a postcode that begins alike."""

from itertools import takewhile

from services.sourcing.domain.network import Network, distance_m
from services.sourcing.domain.wishes import Choice


def nearest_extended(choice: Choice, network: Network) -> str:
    """Return the extended site nearest to the destination that can prepare the mode at all.

    Where positions do not tell, postcodes that begin alike do, within a country: one that is known
    to lie in another is the last to be asked.
    """

    def remoteness(extended_site_id: str) -> tuple[bool, int, bool, int, str]:
        anchor = network.sites.get(network.extended_sites[extended_site_id].anchor_site_id)
        metres, is_abroad, alike = 10**9, True, 0
        if anchor is not None:
            if anchor.position is not None and choice.position is not None:
                metres = distance_m(anchor.position, choice.position)
            countries = {anchor.country, choice.country} - {""}
            is_abroad = len(countries) > 1
            alike = _alike(anchor.postcode, choice.postcode)
        is_unable = not network.can_prepare(extended_site_id, choice.mode_id)
        return is_unable, metres, is_abroad, -alike, extended_site_id

    return min(network.extended_sites, key=remoteness)


def _alike(postcode: str, other: str) -> int:
    """Return how many letters and digits two postcodes have in common from their beginning."""
    pairs = zip(_compact(postcode), _compact(other), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _compact(postcode: str) -> str:
    return "".join(filter(str.isalnum, postcode)).upper()
