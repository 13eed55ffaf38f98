"""Ways to the database that are neither direct nor through a bastion."""
