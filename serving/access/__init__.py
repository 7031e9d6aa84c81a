"""Who may use the server: API keys, stored as hashes in a file."""
