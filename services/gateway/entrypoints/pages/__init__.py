"""Pages for consumers, rendered here, working without scripts."""
