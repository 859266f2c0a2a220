"""After a restore: the database is older than the wallets, the merchants and what was numbered since."""
