"""The container runtimes: processes, or containers of a real Docker engine."""
