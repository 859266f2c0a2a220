"""How long personal data is kept: what it is, and its removal."""
