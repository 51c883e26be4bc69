"""Queueing, sending and administering deliveries."""
