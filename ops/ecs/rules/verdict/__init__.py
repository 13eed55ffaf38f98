"""The verdict on a rollout, by what polls showed of it (pure)."""
