"""Alipay's cross-border gateway ("mapi"): pay links, barcode payments, refunds, and its notices."""
