"""The service without a business: event store, feeds, processes, servers, command line."""
