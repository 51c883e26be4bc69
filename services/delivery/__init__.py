"""Delivery: goods changing hands, at a site's counter or through a carrier.

Decides    when a group stands ready, whether a pickup code opens it, who has the goods.
Streams    ``handover-{group_id}``, ``shipment-{group_id}``
Hears      ``oms.order.v1.events`` (a group's steps that complete on READY, ARRIVED, HANDED_OVER
           or HANDED_TO_CARRIER; cancellations)
Publishes  ``oms.delivery.v1.events``
"""
