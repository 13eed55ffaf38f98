"""Programs on this machine: shell, git, tar, Docker, registry, squawk."""
