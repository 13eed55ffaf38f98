"""The bastion's side of a remote migration."""
