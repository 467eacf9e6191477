"""What the service shows and takes over HTTP: the JSON interface, the pages, and the server that runs them."""
