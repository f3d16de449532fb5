"""Results as records and as files."""
