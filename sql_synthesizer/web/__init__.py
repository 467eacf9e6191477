"""The service over HTTP: who is admitted, the JSON interface, the pages, and the server that runs them."""
