"""Sourcing: which site prepares which line of an order, where it changes hands, and why.

Streams  ``decision-{order_id}``
Hears    oms.order.v1.events, oms.stock_ledger.v1.events, oms.catalog.v1.events
Tells    oms.sourcing.v1.events (PlanDecided, PlanRejected)

One pure function decides (``domain/plan.py``); what it saw and what it answered is kept, so that
every decision can be explained and run again. The stock ledger stays the judge of stock: a plan
made on a stale view is refused there and made again here, with what the ledger said.
"""
