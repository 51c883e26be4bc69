"""Writes what the feeds are for readers: an AsyncAPI document and one page per feed.

``python -m contracts.describe`` (part of ``make contracts``) writes them; a contract test makes
them again and compares. Everything in them comes from the contracts, their comments, the examples
and the code that publishes and listens.
"""
