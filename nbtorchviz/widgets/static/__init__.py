"""The views: sources in ``src/``, bundles ``nbtv.js`` and, for widgets apart, one each."""
