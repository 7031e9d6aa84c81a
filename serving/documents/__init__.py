"""Optional outputs of a request: what the sentences of a text say, and which words carried its label."""
