"""`inv SERVICE.status`: one screen for a service, read once or watched."""
