"""The simulated Alipay: the cross-border gateway, its cashier pages and its notices, with its own books.

Written from Alipay's documents alone. `wallet.AlipayWallet` is what the sandbox joins to its server.
"""
