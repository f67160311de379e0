"""What is usual for gradients and updates: bands drawn behind them, each with its source."""

from typing import Any

GRADIENT_FACTOR = 1_000.0
"""Within this factor of the layer next to the loss, a gradient neither vanishes nor explodes."""
RATIO_LOW, RATIO_AIM, RATIO_HIGH = 1e-4, 1e-3, 1e-2

ZONES: dict[str, dict[str, Any]] = {
    "gradient": {
        "factor": GRADIENT_FACTOR,
        "source": "gradients should keep their size over depth (Glorot and Bengio 2010); "
        "the factor is our choice",
    },
    "ratio": {
        "low": RATIO_LOW,
        "aim": RATIO_AIM,
        "high": RATIO_HIGH,
        "source": "about 1e-3: Karpathy, CS231n; a factor 10 either way is our choice",
    },
}
