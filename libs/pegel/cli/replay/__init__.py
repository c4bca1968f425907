"""`pegel replay`: contacts of the past, from a file, through the running services."""
