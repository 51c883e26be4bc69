"""Picking: who gathers a group at its site, what he found, and what was missing.

Decides    who has a task, whether a pick counts, when a task is completed.
Streams    ``picktask-{group_id}``
Hears      ``oms.order.v1.events`` (a group's step that completes on PICKED; cancellations),
           ``oms.catalog.v1.events`` (names, temperatures, which weights vary).
Publishes  ``oms.picking.v1.events``
"""
