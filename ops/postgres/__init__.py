"""PostgreSQL: access, schema, dump, replay, table statistics, scratch server."""
