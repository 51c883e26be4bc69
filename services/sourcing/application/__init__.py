"""What can be asked of sourcing."""
