"""Where reviews come from: the default data set and readers of users' files."""
