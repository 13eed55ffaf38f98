"""Run migrations on the bastion: this machine's side of it."""
