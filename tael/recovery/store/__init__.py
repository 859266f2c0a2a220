"""SQL, and rows to values."""
