"""The alerter: incidents, paging, the ledger."""
