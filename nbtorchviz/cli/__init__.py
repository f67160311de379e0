"""The command line: ``nbtorchviz demo`` and ``nbtorchviz doctor``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nbtorchviz import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 1 failed, 2 wrong usage.

    Args:
        arguments: Words after the program's name; None reads the command line.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "demo":
        return _demo(options)
    if options.command == "doctor":
        return _doctor()
    parser.print_help()
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nbtorchviz",
        description="See inside a PyTorch model while it trains, in the notebook it trains in.",
    )
    parser.add_argument("--version", action="version", version=f"nbtorchviz {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")

    demo = commands.add_parser(
        "demo",
        help="open JupyterLab on the quickstart notebook",
        description="Copy the quickstart notebook to a folder of yours and open JupyterLab on it.",
    )
    demo.add_argument(
        "--check",
        action="store_true",
        help="run the notebook without a browser; exit 0 when every cell ran, else 1",
    )
    demo.add_argument("--no-browser", action="store_true", help="only print the address")
    demo.add_argument(
        "--port",
        type=_port,
        default=None,
        help="port on this machine (default: the first free from 8888)",
    )
    demo.add_argument(
        "--dir",
        type=Path,
        default=Path("nbtorchviz-demo"),
        help="folder for the notebook (default: %(default)s)",
    )
    commands.add_parser(
        "doctor",
        help="say what is installed, what to expect and what to fix",
        description="Say what is installed, which mode to expect and what to fix.",
    )
    return parser


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = 0
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; give one from 1 to 65535")
    return port


def _demo(options: argparse.Namespace) -> int:
    from nbtorchviz.cli.demo import check, serve
    from nbtorchviz.cli.server import DemoError

    try:
        if options.check:
            return check()
        return serve(options.dir, port=options.port, open_browser=not options.no_browser)
    except DemoError as error:
        print(f"nbtorchviz demo: {error}", file=sys.stderr)
        return 1


def _doctor() -> int:
    from nbtorchviz.cli import doctor

    examination = doctor.examine()
    print(doctor.report(examination))
    return doctor.exit_code(examination)
