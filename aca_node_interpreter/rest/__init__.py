"""The REST core: every call of a session pool's data plane, and the two clients that make them."""
