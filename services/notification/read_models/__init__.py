"""What notification shows."""
