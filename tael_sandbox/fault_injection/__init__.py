"""Faults on demand: what goes wrong, on the wire and in notices."""
