"""How a control reaches Python while a cell runs, and how pictures come back."""
