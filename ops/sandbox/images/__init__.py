"""Images in the sandbox: the store, the registry front, the engine that builds, and the runtimes that run what was built."""
