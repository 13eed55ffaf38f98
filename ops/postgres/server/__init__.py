"""PostgreSQL servers of our own: binaries, clusters, scratch servers."""
