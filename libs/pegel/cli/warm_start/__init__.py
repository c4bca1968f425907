"""`pegel warm-start`: gives a running installation a past, so that its first day has a baseline of weeks."""
