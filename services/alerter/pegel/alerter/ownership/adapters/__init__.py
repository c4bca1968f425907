"""Owner rules from a file, and in memory."""
