"""Keeps a study in docs/studies, and tells all of them side by side."""
