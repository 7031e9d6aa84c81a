"""Windows of predictions: read from the prediction log or from files, and their labels."""
