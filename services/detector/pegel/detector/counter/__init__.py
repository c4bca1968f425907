"""The counter: drops copies, applies amendments, counts contacts by bucket and cell."""
