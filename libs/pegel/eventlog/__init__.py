"""The log that stands between the services: a small port (`port`) and who implements it."""
