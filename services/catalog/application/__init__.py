"""What can be asked of the catalog."""
