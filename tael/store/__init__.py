"""PostgreSQL: SQL, and rows to values. Knows no wallet and no HTTP; every instant is given to it."""
