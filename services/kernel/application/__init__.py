"""What a use case may ask of its surroundings."""
