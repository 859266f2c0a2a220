"""The simulated Alipay: the cross-border gateway, its cashier pages and its notices, with its own books.

Written from Alipay's documents alone. `wallet.AlipayWallet` implements the sandbox's `Wallet`.
"""
