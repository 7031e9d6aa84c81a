"""The whole loop from nothing, through commands and HTTP only: train, serve, score, drift, retrain."""
