"""What every test shares: one thread for torch, in this process and in kernels that tests start."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch loads
