"""Incidents in the database: what spikes make of them, what people do to them, and how they are found."""
