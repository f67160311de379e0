"""How long to wait for a state before saying that it never comes."""

WAIT_S = 120.0
"""What takes a second alone may take half a minute beside other work; patience costs nothing."""
