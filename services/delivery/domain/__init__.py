"""What is true of a handover and of a shipment, and what may happen to them."""
