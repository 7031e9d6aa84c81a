"""The prediction log and the feedback log: queue, lines, segments and upload."""
