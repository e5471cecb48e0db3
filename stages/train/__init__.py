"""One learner, one size: all replicates and settings fitted, the chosen ones asked for test probabilities."""
