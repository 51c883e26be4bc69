"""What can be asked of the order service."""
