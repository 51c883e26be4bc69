"""The whole system as processes on a real broker: ``oms stack``.

``up`` starts a keeper in the background, and the keeper everything else: one PostgreSQL, one
broker, ``oms serve`` and ``oms work`` of every service, the gateway. It starts again what dies,
writes down what it sees in ``stack/state.json``, and stops in the order that loses no work.
"""
