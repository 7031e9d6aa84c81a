"""The search for hyper-parameters: what may be chosen, the trials, and the choice."""
