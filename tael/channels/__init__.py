"""The wallets' wire protocols, one folder each, behind `base.Channel`."""
