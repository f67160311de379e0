"""Read tensors from a running model: torch only, no notebook library."""
