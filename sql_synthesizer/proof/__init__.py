"""Commands that prove what the product claims, and the stand-ins that they need."""
