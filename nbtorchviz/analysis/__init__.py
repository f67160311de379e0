"""Pure functions of arrays and tensors: no hooks, no bus, no state."""
