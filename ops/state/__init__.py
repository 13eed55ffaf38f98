"""Deploy locks and release records, stored in S3."""
