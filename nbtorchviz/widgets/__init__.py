"""The widgets: the only importers of notebook libraries."""
