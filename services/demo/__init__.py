"""The demo: a generated grocery chain, its customers and its staff, seen from outside.

A client of the public HTTP API only, like any other; it decides nothing, stores nothing and hears
no feed. Same seed, same chain, same orders: a run that was cut off goes on where it stopped.
"""
