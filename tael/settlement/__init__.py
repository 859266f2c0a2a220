"""Settlement with merchants: terms and batches of payouts, and exports for their bookkeepers."""
