"""Incidents: what needs manual review."""
