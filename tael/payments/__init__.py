"""Payments, refunds, reversals, closes, queries and checkout links."""
