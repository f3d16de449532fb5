"""Write the weights that changed into ``plugin_manifest.json``: ``python -m tools.update_manifest``."""

from __future__ import annotations

import json
from pathlib import Path

from edseg_engine.networks.weights import load_weights

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "plugin_manifest.json"


def weights_entries() -> list[dict[str, object]]:
    """Return what the manifest has to say of the weights."""
    shipped = [load_weights(path).info for path in sorted((ROOT / "weights").glob("*.safetensors"))]
    return [{"file": info.name, "sha256": info.sha256, "d_min": info.d_min, "d_max": info.d_max} for info in shipped]


if __name__ == "__main__":
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    manifest["weights"] = weights_entries()
    MANIFEST.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
