"""Incidents: what people deal with. Spikes open them, people and the end of the spikes change their state."""
