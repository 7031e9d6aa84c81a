"""The contract between training, serving and monitoring. Imports nothing else of this project."""
