"""Build time only: writes what is derived from the catalogue, and checks that it is still equal."""
