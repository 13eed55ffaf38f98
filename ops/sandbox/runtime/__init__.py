"""What runs an image: processes, or containers of a real Docker engine."""
