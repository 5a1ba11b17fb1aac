"""One module a resource; routes only translate between HTTP and the services."""
