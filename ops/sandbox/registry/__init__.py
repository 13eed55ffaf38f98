"""The registry front: an OCI distribution endpoint in front of ECR."""
