"""The whole way from a map to labelled residues, and its two steps; nothing else knows it."""

from edseg_engine.pipeline.run import FoundResidues, find_residues, segment
from edseg_engine.pipeline.voxels import MapPrediction, MapReading, predict_map, read_voxels

__all__ = ["FoundResidues", "MapPrediction", "MapReading", "find_residues", "predict_map", "read_voxels", "segment"]
