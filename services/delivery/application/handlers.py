"""What the counter, the customer and the carrier's desk ask for, one unit of work each."""

from dataclasses import dataclass

from services.delivery.application.ports import PickupCodes
from services.delivery.domain import handover, shipment
from services.delivery.domain.handover import HANDOVER, AnnounceArrival, HandOver, MarkReady
from services.delivery.domain.shipment import SHIPMENT
from services.kernel.application.runner import Runner
from services.kernel.application.work import Work
from services.kernel.domain.errors import NotFound, Rejected
from services.kernel.domain.messages import Cause


@dataclass(frozen=True, slots=True)
class DeliveryHandlers:
    """The use cases of delivery; each returns the version after it.

    Attributes:
        runner: Runs each of them.
        codes: Knows the pickup codes.
    """

    runner: Runner
    codes: PickupCodes

    async def mark_ready(self, cause: Cause, group_id: str) -> int:
        async def use_case(work: Work) -> int:
            return await _change_handover(work, group_id, MarkReady(work.now))

        return await self.runner.execute(cause, use_case)

    async def announce_arrival(self, cause: Cause, group_id: str) -> int:
        async def use_case(work: Work) -> int:
            return await _change_handover(work, group_id, AnnounceArrival(work.now))

        return await self.runner.execute(cause, use_case)

    async def hand_over(self, cause: Cause, group_id: str, pickup_code: str) -> int:
        """Hand the group over, if the code is right.

        A wrong code is recorded before it is refused: the count of wrong ones must outlive the
        refusal.
        """
        is_right = self.codes.is_right(cause.tenant, group_id, pickup_code)
        digest = self.codes.digest_of(cause.tenant, group_id, pickup_code)

        async def use_case(work: Work) -> int:
            if (await work.state(SHIPMENT, group_id)).state.phase is not shipment.Phase.UNKNOWN:
                raise Rejected(
                    handover.Refusal.STEP_CONFLICT,
                    "a carrier takes this group to the customer; nobody collects it here",
                )
            command = HandOver(work.cause.command_id, is_right, work.now, digest)
            return await _change_handover(work, group_id, command)

        version = await self.runner.execute(cause, use_case)
        if not is_right:
            raise Rejected(
                handover.Refusal.WRONG_PICKUP_CODE,
                "the code does not belong to this group; ask the customer for it again, and try "
                "under a new request id",
            )
        return version

    async def change_shipment(self, cause: Cause, group_id: str, command: shipment.Command) -> int:
        async def use_case(work: Work) -> int:
            before = await work.state(SHIPMENT, group_id)
            if before.state.phase is shipment.Phase.UNKNOWN:
                raise NotFound("shipment", group_id)
            return before.version + len(await work.handle(SHIPMENT, group_id, command))

        return await self.runner.execute(cause, use_case)


async def _change_handover(work: Work, group_id: str, command: handover.Command) -> int:
    before = await work.state(HANDOVER, group_id)
    if before.state.phase is handover.Phase.UNKNOWN:
        raise NotFound("handover", group_id)
    return before.version + len(await work.handle(HANDOVER, group_id, command))
