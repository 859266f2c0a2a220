"""The wallets' statements: their files as they arrived, and what each line says."""
