"""One watched model: what is wanted of it, what was caught, who is told."""

from nbtorchviz.session.registry import as_session, find_session, watch
from nbtorchviz.session.session import Session

__all__ = ["Session", "as_session", "find_session", "watch"]
