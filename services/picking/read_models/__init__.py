"""What picking shows: the queue of a site, the pick list of a task."""
