"""The dashboard: pictures for product owners and responders, made from the alerter's API."""
