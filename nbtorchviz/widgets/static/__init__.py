"""The views: sources in ``src/``, bundles ``nbtv.js`` and (GradientInspector) ``gradients.js``."""
