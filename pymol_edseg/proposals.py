"""What the engine found, as its ``result.json`` tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = "edseg-result/1"
_RESIDUES_PER_CHAIN = 9999
_CHAINS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Proposal:
    """One residue: where it is (Å) and what it may be."""

    id: int
    position: tuple[float, float, float]
    ranks: tuple[tuple[str, float], ...]
    probabilities: Mapping[str, float]
    confidence: float
    n_voxels: int

    @property
    def label(self) -> str:
        """The rank-1 class."""
        return self.ranks[0][0]

    @property
    def address(self) -> tuple[str, str]:
        """Chain and residue number in coordinate files and PyMOL objects; up to 9999 the number is the id."""
        chain, number = divmod(self.id - 1, _RESIDUES_PER_CHAIN)
        return _CHAINS[chain % len(_CHAINS)], str(number + 1)


def read_result(folder: Path) -> dict[str, Any]:
    """Read ``result.json`` of an output directory of the engine.

    Raises
    ------
    ValueError
        If there is none or it cannot be read, in a sentence for the user.
    """
    path = folder / "result.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged; run the segmentation again.") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no {SCHEMA} file; the engine and the plugin must be of the same version.")
    return data


def proposals_of(data: Mapping[str, Any]) -> tuple[Proposal, ...]:
    """Return the proposals of a result, in the order of their ids.

    Raises
    ------
    ValueError
        If the result is damaged.
    """
    try:
        return tuple(
            Proposal(
                int(residue["id"]),
                (float(residue["position"][0]), float(residue["position"][1]), float(residue["position"][2])),
                tuple((str(rank["label"]), float(rank["probability"])) for rank in residue["ranks"]),
                residue["probabilities"],
                float(residue["confidence"]),
                int(residue["n_voxels"]),
            )
            for residue in data["residues"]
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError("The result is damaged; run the segmentation again.") from error
