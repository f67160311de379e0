"""Bundle ``src/*.js`` and ``src/*.css`` into the bundles of ``ENTRIES``.

``python -m nbtorchviz.widgets.static.build`` needs node and npm, which users do not: the bundles
are committed. ``--check`` builds elsewhere and exits 1 when a committed bundle is not what the
sources make, or is too large. Names of bundles limit both to these.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ESBUILD = "esbuild@0.25.9"
LIMIT_BYTES = 151_700
"""55 kB when gzipped, as notebook servers send it. It travels once for each widget. The maps,
the layers overview and the curve share it: apart, their common half would travel twice."""
ENTRIES = {
    "nbtv.js": "index.js",
    "gradients.js": "gradients.js",
    "gradcam.js": "gradcam.js",
    "controls.js": "controls.js",
    "findings.js": "findings.js",
    "tensor.js": "tensor.js",
    "editor.js": "editor.js",
}
"""Each bundle and the source it begins with. Widgets apart have one of their own."""
# The Grad-CAM view has a part for what is made in pieces between steps: progress, Cancel, age.
# The inspector's holds the map modules and the loss chart's, so that it draws with the same code.
LIMITS_BYTES = {
    "nbtv.js": LIMIT_BYTES,
    "gradients.js": 143_500,
    "gradcam.js": 64_000,
    "controls.js": 40_000,
    "findings.js": 24_000,
    "tensor.js": 80_000,
    "editor.js": 40_000,
}
_HERE = Path(__file__).parent


def build(target: Path) -> None:
    """Write the bundle called like ``target`` to ``target``.

    Raises:
        RuntimeError: npm is missing, or esbuild failed; the message says why.
        KeyError: there is no such bundle.
    """
    entry = ENTRIES[target.name]
    npx = shutil.which("npx")
    if npx is None:
        raise RuntimeError("building the bundle needs node and npm, and npx was not found")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(_HERE / "src", Path(folder) / "src"))
        sheets = sorted(path.name for path in copy.glob("*.css"))
        _run(npx, copy, *sheets, "--minify", "--outdir=.", "--allow-overwrite")
        _run(
            npx, copy, entry, "--bundle", "--minify", "--format=esm", "--target=es2022",
            "--charset=utf8", "--loader:.css=text", f"--outfile={target}",
        )  # fmt: skip


def _run(npx: str, folder: Path, *arguments: str) -> None:
    command = [npx, "--yes", ESBUILD, *arguments, "--log-level=warning"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"esbuild failed:\n{done.stderr}")


def _faults(name: str) -> list[str]:
    """What is wrong with a committed bundle."""
    bundle = _HERE / name
    if not bundle.is_file():
        return [f"{name} is missing; build it and commit it"]
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / name
        build(fresh)
        same = fresh.read_bytes() == bundle.read_bytes()
    size = bundle.stat().st_size
    faults = [] if same else [f"{name} is not what src/ makes; build it again and commit it"]
    if size > LIMITS_BYTES[name]:
        faults.append(f"{name} has {size} bytes, {LIMITS_BYTES[name]} are allowed")
    return faults


def main(arguments: list[str]) -> int:
    """Build, or with ``--check`` compare; return the exit code."""
    names = [name for name in ENTRIES if name in arguments] or list(ENTRIES)
    if "--check" not in arguments:
        for name in names:
            build(_HERE / name)
        return 0
    faults = [fault for name in names for fault in _faults(name)]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
