"""The user's own table: reading the file, and what its columns are."""
