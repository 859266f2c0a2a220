"""`tael conformance client`: checks of a merchant's client against a scripted server."""
