"""MLflow: the connection, aliases, artifacts and lineage."""
