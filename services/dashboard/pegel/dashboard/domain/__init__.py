"""What the page shows, as pure functions of the alerter's answers: no clock, no I/O, no HTML."""
