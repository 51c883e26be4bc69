"""What delivery shows: the handovers and the shipments of a site."""
