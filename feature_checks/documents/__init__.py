"""Texts longer than the model reads at once: sentences, windows of whole sentences, and one answer from them."""
