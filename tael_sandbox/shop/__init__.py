"""A merchant's demo shop, built on the client alone: it knows of the gateway what every merchant knows, and no more."""
