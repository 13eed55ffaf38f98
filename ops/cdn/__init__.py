"""CloudFront: find the distribution, invalidate, verify at the edge."""
