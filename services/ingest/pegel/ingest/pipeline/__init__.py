"""The way of a request: read, checked, made pseudonymous, appended, acknowledged. And the passing of time."""
