"""The numbers of a sourcing policy: one cost table and its limits, under one version.

The version that decisions carry ends in a hash of the numbers, so two tables never share a name.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """What things cost the retailer and how long they take. Amounts in minor units.

    Attributes:
        version: Name of the table, for example ``base-1``.
        transport_base_minor: Per group that a carrier takes to a destination.
        transport_minor_per_km: Per group and kilometre from handover site to destination.
        transport_minor_per_kg: Per kilogram taken to a destination.
        transfer_base_minor: Per group prepared elsewhere than it changes hands.
        transfer_minor_per_km: Per group and kilometre between these two sites.
        transfer_minor_per_kg: Per kilogram between these two sites.
        split_penalty_minor: Per group beyond the first of a choice.
        tolerance_minor: Plans that cost this much more than the cheapest count as equally cheap.
        max_groups_per_choice: A choice is never cut into more groups.
        wanted_slack_minutes: How much later than wanted a promise may be.
        transfer_base_minutes: Loading and unloading of a transfer.
        transfer_metres_per_minute: Speed of a transfer.
        delivery_base_minutes: From the carrier's pickup to the first customer.
        delivery_metres_per_minute: Speed of a delivery.
        road_percent: Road distance, in percent of the great circle.
        unknown_distance_m: Road distance where a position is missing.
        default_weight_g: Weight of a base unit of a product that the catalog has not told of.
        max_search_nodes: Bound of the search for the cheapest cover; above it the plan is the
            best one found, and its receipt says that it is not proved.
        max_search_looks: The same bound in work, for a node of a large order takes a thousand
            times that of a small one; 0: none, as in policies that were stored before it.
    """

    version: str = "base-1"
    transport_base_minor: int = 450
    transport_minor_per_km: int = 12
    transport_minor_per_kg: int = 8
    transfer_base_minor: int = 150
    transfer_minor_per_km: int = 6
    transfer_minor_per_kg: int = 3
    split_penalty_minor: int = 300
    tolerance_minor: int = 1
    max_groups_per_choice: int = 6
    wanted_slack_minutes: int = 2 * 24 * 60
    transfer_base_minutes: int = 60
    transfer_metres_per_minute: int = 600
    delivery_base_minutes: int = 120
    delivery_metres_per_minute: int = 400
    road_percent: int = 130
    unknown_distance_m: int = 20_000
    default_weight_g: int = 1_000
    max_search_nodes: int = 4_000
    max_search_looks: int = 0

    def road_m(self, great_circle_m: int | None) -> int:
        """Return the road distance in metres that belongs to a great-circle distance."""
        if great_circle_m is None:
            return self.unknown_distance_m
        return great_circle_m * self.road_percent // 100
