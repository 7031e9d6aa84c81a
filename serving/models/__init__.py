"""Which model version to serve, and where its files come from."""
