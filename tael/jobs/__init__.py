"""Work that nobody waits for: due rows are claimed under a lease, done, and written back."""
