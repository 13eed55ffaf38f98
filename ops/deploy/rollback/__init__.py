"""`inv SERVICE.rollback`: choose the release, check the order of schema and image, roll back."""
