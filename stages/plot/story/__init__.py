"""What the report says, of what was measured."""
