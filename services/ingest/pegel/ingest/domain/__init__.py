"""What a valid contact is, in values only: no I/O, no clock."""
