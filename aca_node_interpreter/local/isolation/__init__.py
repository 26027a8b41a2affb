"""What stands between a session's code and this machine."""
