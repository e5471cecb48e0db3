"""Many networks trained as one batch."""
