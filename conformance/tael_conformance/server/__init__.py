"""`tael conformance server`: checks of a server."""
