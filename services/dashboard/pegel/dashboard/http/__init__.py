"""The pages: HTML made on the server, one fragment asked again every 5 s, pictures, static files."""
