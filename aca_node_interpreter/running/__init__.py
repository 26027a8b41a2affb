"""Many conversations: which session is whose, whose turn it is, and what a text passes before."""
