"""Configuration: read strictly, merged as Invoke merges it, validated into frozen settings."""
