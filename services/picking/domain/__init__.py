"""What is true of a pick task, and what may happen to it."""
