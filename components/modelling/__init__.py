"""Base models, the torch classifier, quantization and the pyfunc model."""
