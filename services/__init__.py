"""So'OMS: ten services on one kernel."""
