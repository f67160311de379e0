"""One watched model: what is wanted of it, what was caught, who is told."""
