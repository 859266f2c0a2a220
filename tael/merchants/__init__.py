"""Apps, merchants and their wallet accounts."""
