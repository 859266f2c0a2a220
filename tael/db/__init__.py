"""PostgreSQL: connections, batches, the due queue, migrations."""
