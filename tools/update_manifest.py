"""Write new weights into ``plugin_manifest.json`` and ``SHA256SUMS``: ``python -m tools.update_manifest``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from edseg_engine.networks.weights import CHECKSUMS, load_weights

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "plugin_manifest.json"
WEIGHTS = sorted((ROOT / "weights").glob("*.safetensors"))


def checksums() -> str:
    """Return the lines of the file that the engine compares the shipped weights with."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in WEIGHTS)


def weights_entries() -> list[dict[str, object]]:
    """Return what the manifest says about the weights."""
    shipped = [load_weights(path).info for path in WEIGHTS]
    return [{"file": info.name, "sha256": info.sha256, "d_min": info.d_min, "d_max": info.d_max} for info in shipped]


if __name__ == "__main__":
    (ROOT / "weights" / CHECKSUMS).write_text(checksums(), encoding="utf-8")
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    manifest["weights"] = weights_entries()
    MANIFEST.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
