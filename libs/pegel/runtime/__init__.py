"""What every process needs: settings, logs, probes, metrics, problem details, authentication, graceful stop."""
