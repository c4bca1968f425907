"""`pegel run`: all services on one machine, a process each, under one process in the foreground."""
