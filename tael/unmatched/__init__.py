"""Unmatched payments: money that no order explains."""
