"""Both wallets, simulated from their documents, with books, payers and a clock of their own.

Runs as one process (`python -m tael_sandbox`) beside the gateway and imports nothing of it, so that a
misreading of a wallet's document is not made twice.
"""
