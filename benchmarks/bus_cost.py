"""What publishing costs when nobody subscribed (bar: < 1 us), and what one handler adds."""

import timeit
from typing import Any

from nbtorchviz.bus import EventBus
from nbtorchviz.events import ScalarLogged


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time 100,000 publishes each."""
    number = 10_000 if quick else 100_000
    event, rows = ScalarLogged(name="loss", value=1.0), []
    empty, heard = EventBus(), EventBus()
    heard.subscribe(ScalarLogged, lambda event: None)
    for name, bus in (("no subscriber", empty), ("one handler", heard)):
        seconds = min(timeit.repeat(lambda bus=bus: bus.publish(event), number=number, repeat=7))
        rows.append({"case": name, "us_per_publish": 1e6 * seconds / number})
    return rows
