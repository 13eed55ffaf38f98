"""Deploy locks and release records, kept in S3."""
