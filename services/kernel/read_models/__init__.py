"""How a question is answered from events."""
