"""The routes of ingest: POST /v1/contacts, /v1/amendments, /v1/ticks."""
