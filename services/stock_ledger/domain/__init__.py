"""What stock is, and what may be promised of it."""
