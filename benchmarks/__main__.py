"""``python -m benchmarks NAME [--json] [--quick]``; without a name, the list of names."""

import argparse
import json
import platform
from importlib import import_module

NAMES = {
    "step-time": "step_time",
    "frame": "frame_cost",
    "controls": "controls",
    "curve": "curve_cost",
    "cache": "cache_cost",
    "attach": "attach",
    "bus": "bus_cost",
    "gradcam": "gradcam_cost",
    "nonfinite": "nonfinite_cost",
    "peers": "peers",
    "statistics": "statistics_cost",
    "soak": "soak",
    "latency": "latency",
}


def main() -> None:
    """Run one benchmark and print its rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(NAMES), nargs="?")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    arguments = parser.parse_args()
    if arguments.name is None:
        parser.print_help()
        return
    rows = import_module(f"benchmarks.{NAMES[arguments.name]}").run(quick=arguments.quick)
    if arguments.json:
        print(
            json.dumps({"benchmark": arguments.name, "machine": platform.machine(), "rows": rows})
        )
        return
    for row in rows:
        print("  ".join(f"{key} {_short(value)}" for key, value in row.items()))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


main()
