"""`tael conformance receiver`: checks of a merchant's webhook receiver."""
