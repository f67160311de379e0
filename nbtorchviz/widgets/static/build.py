"""Bundle ``src/*.js`` and ``src/*.css`` into ``nbtv.js``.

``python -m nbtorchviz.widgets.static.build`` needs node and npm, which users do not: the bundle is
committed. ``--check`` builds elsewhere and exits 1 when the committed bundle is not what the
sources make, or is too large.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ESBUILD = "esbuild@0.25.9"
LIMIT_BYTES = 125_000
"""45 kB when gzipped, as notebook servers send it. It travels once for each widget."""
_HERE = Path(__file__).parent


def build(target: Path) -> None:
    """Write the bundle to ``target``.

    Raises:
        RuntimeError: npm is missing, or esbuild failed; the message says why.
    """
    npx = shutil.which("npx")
    if npx is None:
        raise RuntimeError("building the bundle needs node and npm, and npx was not found")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(_HERE / "src", Path(folder) / "src"))
        sheets = sorted(path.name for path in copy.glob("*.css"))
        _run(npx, copy, *sheets, "--minify", "--outdir=.", "--allow-overwrite")
        _run(
            npx, copy, "index.js", "--bundle", "--minify", "--format=esm", "--target=es2022",
            "--charset=utf8", "--loader:.css=text", f"--outfile={target}",
        )  # fmt: skip


def _run(npx: str, folder: Path, *arguments: str) -> None:
    command = [npx, "--yes", ESBUILD, *arguments, "--log-level=warning"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"esbuild failed:\n{done.stderr}")


def main(arguments: list[str]) -> int:
    """Build, or with ``--check`` compare; return the exit code."""
    bundle = _HERE / "nbtv.js"
    if "--check" not in arguments:
        build(bundle)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "nbtv.js"
        build(fresh)
        same = fresh.read_bytes() == bundle.read_bytes()
    size = bundle.stat().st_size
    if not same:
        sys.stderr.write("nbtv.js is not what src/ makes; build it again and commit it\n")
    if size > LIMIT_BYTES:
        sys.stderr.write(f"nbtv.js has {size} bytes, {LIMIT_BYTES} are allowed\n")
    return 0 if same and size <= LIMIT_BYTES else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
