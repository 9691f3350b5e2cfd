"""The database: connections, named queries, migrations, and the embedded server if DATABASE_URL is empty."""
