"""What the steps hand to each other: dataclasses, file names, and how each is written and read. No steps."""
