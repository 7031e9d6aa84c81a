"""The OpenAPI document of the HTTP API, its schemas, and a page that shows it."""
