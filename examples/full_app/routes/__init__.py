"""One file for each resource; routes only translate between HTTP and the services."""
