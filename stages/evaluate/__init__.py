"""Predictions of the declared grid and the test labels become curves, headline numbers and the answer."""
