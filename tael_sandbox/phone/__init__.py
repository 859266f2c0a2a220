"""The page at `/`: a payer's simulated phone, with a panel for testers beside it.

Uses the same interfaces as `/control`. The page works without a script; with one it follows the books live.
"""
