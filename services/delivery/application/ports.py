"""What delivery asks of its surroundings, in its own words."""

from typing import Protocol


class PickupCodes(Protocol):
    """The codes that open handovers; nobody can guess one, nothing stores one."""

    def code_of(self, tenant: str, group_id: str) -> str:
        """Return the six digits of a group, always the same."""

    def digest_of(self, tenant: str, group_id: str, code: str) -> str:
        """Return what tells a given code from others, and does not tell it."""

    def is_right(self, tenant: str, group_id: str, code: str) -> bool:
        """Compare in constant time, so that the answer's delay tells nothing."""
