"""Black-box checks of QFPay's `/trade/v1` API: of a server, of a merchant's webhook receiver, and of a client.

It shares no code with any server or client: signatures are written from the documentation, so a mistake in another
implementation cannot hide here.
"""
