"""The whole way from a map to labelled residues, and its steps; nothing else knows it."""

from edseg_engine.pipeline.run import (
    FoundResidues,
    find_residues,
    label_residues,
    name_residues,
    read_cycles,
    require_amplitudes,
    segment,
)
from edseg_engine.pipeline.voxels import (
    MapPrediction,
    MapReading,
    PreparedMap,
    predict_map,
    prepare_map,
    read_voxels,
    require_votes,
    run_network,
)

__all__ = [
    "FoundResidues",
    "MapPrediction",
    "MapReading",
    "PreparedMap",
    "find_residues",
    "label_residues",
    "name_residues",
    "predict_map",
    "prepare_map",
    "read_cycles",
    "read_voxels",
    "require_amplitudes",
    "require_votes",
    "run_network",
    "segment",
]
