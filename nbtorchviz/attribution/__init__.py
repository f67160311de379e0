"""Which part of the input speaks for what the model said: maps of every layer, without a trace."""
