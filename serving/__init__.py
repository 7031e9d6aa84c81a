"""The KServe predictor: everything between the wire and the model."""
