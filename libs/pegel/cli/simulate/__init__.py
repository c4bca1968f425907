"""A simulated bank for the demonstration: twelve countries, fifteen topics, and cash machines that fail."""
