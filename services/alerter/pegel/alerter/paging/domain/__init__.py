"""What a page says, and when it is tried again."""
