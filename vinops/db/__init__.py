"""The database: connections, named queries, migrations, and the embedded server for when there is no other."""
