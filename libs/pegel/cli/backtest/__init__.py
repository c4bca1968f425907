"""`pegel backtest`: what would have paged, and when, on a history of one's own."""
