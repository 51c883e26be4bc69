"""What can be asked of picking."""
