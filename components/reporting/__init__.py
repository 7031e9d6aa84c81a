"""HTML and Markdown pages for people, and the model card."""
