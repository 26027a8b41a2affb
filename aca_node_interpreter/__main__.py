"""`python -m aca_node_interpreter` is `aca-node`."""

from .cli import app

app(prog_name="aca-node")
