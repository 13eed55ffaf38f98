"""Systems Manager: sessions through tasks and instances."""
