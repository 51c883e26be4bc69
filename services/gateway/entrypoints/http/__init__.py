"""HTTP: one module per resource, one problem table, one place that makes gRPC metadata."""
