"""A merchant's demo shop. It uses the gateway only through the client, like any other merchant."""
