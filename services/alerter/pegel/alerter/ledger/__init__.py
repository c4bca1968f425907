"""The ledger: each addition of the windows becomes one charge to the owner of its segment."""
