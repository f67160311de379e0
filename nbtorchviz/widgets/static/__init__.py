"""The views: sources in ``src/``, one bundle ``nbtv.js``."""
