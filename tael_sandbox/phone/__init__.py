"""The page at `/`: a payer's simulated phone, and beside it a panel for whoever tests with it.

Built over what `/control` uses. The page works without a script; with one it follows the books live.
"""
