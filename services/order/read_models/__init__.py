"""What the order service shows."""
