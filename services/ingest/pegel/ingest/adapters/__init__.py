"""What ingest reads from outside the log: its key file."""
