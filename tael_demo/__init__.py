"""The demo: a gateway on this machine with its own PostgreSQL, both simulated wallets, sample data and a shop.

It also has the commands for developing against a demo, and the pytest plugin. It imports the gateway, never the
sandbox, which it starts as a process. The gateway finds it by entry points.
"""
