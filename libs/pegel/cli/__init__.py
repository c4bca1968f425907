"""The one command line. It imports a service only when it is asked to serve it."""
