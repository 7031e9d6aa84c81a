"""From logged predictions to a drift report and a decision."""
