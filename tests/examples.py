"""How many examples property tests try: many where nobody waits, few where somebody does."""

import os

MANY = 2000 if os.environ.get("CI") else 200
