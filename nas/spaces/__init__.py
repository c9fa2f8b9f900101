"""The search spaces."""
