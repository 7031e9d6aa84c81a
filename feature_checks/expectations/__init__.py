"""Great Expectations suites for reviews and for windows of predictions, behind a thin adapter."""
