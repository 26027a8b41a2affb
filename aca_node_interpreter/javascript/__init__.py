"""Models' JavaScript: what is done to a text before it is sent, what runs it there, and how its answer is read.

Nothing here knows HTTP, a framework or the embedded pool.
"""
