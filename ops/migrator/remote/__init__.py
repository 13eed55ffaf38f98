"""The bastion's side of a migration: what is shipped there and runs there."""
