"""Wire and API models: what travels on the log and over HTTP, each with a version. JSON Schemas: schemas/json/."""
