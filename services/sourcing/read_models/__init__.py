"""What sourcing shows, and what it knows of others."""
