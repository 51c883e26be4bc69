"""What is said, when, and how often it is tried."""
