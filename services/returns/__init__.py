"""Returns: which delivered units come back, what becomes of them, and what is given back.

Streams    ``returnable-{order_id}`` (what was delivered, captured, taken back and refunded),
           ``returncase-{return_id}`` (one visit of a customer)
Feeds in   ``oms.order.v1.events`` (GroupCompleted, PaymentCaptured); ``oms.catalog.v1.events``
           (SiteUpserted)
Feeds out  ``oms.returns.v1.events``
"""
