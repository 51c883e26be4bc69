"""The face to the world: HTTP with JSON, server-sent events and web pages over the services.

It decides nothing and owns no stream. It translates a request into one gRPC call, passes the
caller's token on (the services authenticate), and translates the answer back. What it keeps of
its own is the answers it gave under an ``Idempotency-Key``, for seven days.

Feeds in: none. Feeds out: none.
"""
