"""Results become figures and the report."""
