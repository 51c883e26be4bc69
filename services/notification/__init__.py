"""Notification: what consumers and platforms are told about an order, once each, and how.

Streams    ``message-{message_id}`` (queued, then sent or failed per channel)
Feeds in   ``oms.order.v1.events``; ``oms.catalog.v1.events`` for the names of products
Feeds out  ``oms.notification.v1.events``

A message is queued in the unit of work that hears its occasion; a sender in the worker works the
queue. Rebuilding or replaying anything therefore sends nothing.
"""
