"""conf/ and overrides become params.yaml."""
