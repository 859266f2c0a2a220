"""The ledger: entries, and the daily close."""
