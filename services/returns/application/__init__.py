"""What can be asked of returns."""
