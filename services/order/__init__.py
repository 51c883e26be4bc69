"""The order service: what was sold to whom at which price, and how far it has come.

Decides   whether a basket may change, what an order costs (prices, discounts and fees are frozen
          at placement), when it is accepted, which step each of its groups is in, until when it
          may be cancelled, what is captured and how much may be refunded.
Streams   ``basket-{basket_id}``, ``order-{order_id}``, ``fulfilment-{order_id}`` (process).
Hears     catalog, sourcing, stock_ledger, picking, delivery, returns.
Tells     ``oms.order.v1.events``.
"""
