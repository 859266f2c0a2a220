"""The simulated WeChat Pay: V2 in service-provider mode, XML on the wire, its own books.

Written from WeChat Pay's documents alone. `wallet.WeChatWallet` implements the sandbox's `Wallet`.
"""
