"""Reconciliation: the wallets' statements against our records."""
