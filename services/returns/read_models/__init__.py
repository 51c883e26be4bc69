"""What returns shows."""
