"""The audit: the books recomputed from one snapshot."""
