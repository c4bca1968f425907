"""The alerter's API."""
