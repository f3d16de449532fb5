"""Take the pictures of docs/pymol.md anew: python tests/helpers/pictures.py"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from places import MTZ, ROOT
from window import drive, screen

PICTURES = ROOT / "docs/pictures"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, screen() as display:
        drive(display, Path(folder), 300, scenario="pictures", map=str(MTZ))
        PICTURES.mkdir(exist_ok=True)
        for path in sorted(Path(folder).glob("*.png")):
            picture = Image.open(path).convert("RGB")
            picture = picture.crop(picture.getbbox())
            picture.save(PICTURES / f"pymol-{path.stem}.png", optimize=True)
            print(PICTURES / f"pymol-{path.stem}.png", picture.size)
