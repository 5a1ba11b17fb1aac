"""What every route needs of HTTP: dependencies, bodies, streams, error responses."""
