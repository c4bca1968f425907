"""What was promised of false pages, and what was seen."""
