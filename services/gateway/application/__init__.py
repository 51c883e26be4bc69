"""What the gateway needs of its surroundings."""
