"""One session: code goes in, and text, values and files come back."""
