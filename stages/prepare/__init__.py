"""A named source becomes a training pool, test features and, in a file of their own, test labels."""
