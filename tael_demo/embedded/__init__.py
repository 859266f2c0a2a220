"""The demo's private PostgreSQL, from the binaries of a wheel."""
