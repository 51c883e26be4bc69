"""What makes reference data sound."""
