"""The ledger in a database and in memory; prices from a file and in memory."""
