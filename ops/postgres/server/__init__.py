"""PostgreSQL servers on this machine: binaries, clusters, scratch servers."""
