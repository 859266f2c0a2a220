"""Background jobs: due rows are claimed with a lease, processed, and written back."""
