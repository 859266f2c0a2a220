"""Both wallets, simulated from their documents, with their own books, payers and clock.

Runs as one process (`python -m tael_sandbox`) beside the gateway and imports nothing from it, so that a misreading
of a wallet's document is not made twice.
"""
