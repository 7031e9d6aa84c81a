"""HTML pages and their plots, shared by the drift report and the site of the drift history."""
