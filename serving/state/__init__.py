"""State that replicas can share: the prediction cache, the rate limiter and the Redis connection."""
