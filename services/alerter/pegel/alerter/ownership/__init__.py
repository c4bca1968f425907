"""Whose a segment is: teams and dated rules. Incidents and the ledger ask; neither knows the other."""
