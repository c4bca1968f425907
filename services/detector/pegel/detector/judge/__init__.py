"""The judge: judges counts. Baselines, spikes, explanations."""
