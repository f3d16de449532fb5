"""Better phases from what was read in a map: the residues, as atoms of part occupancy, phase the next map.

A poor map names some of its residues rightly and shows most of its main chain. A model of both, each class as far as it
is believed and its atoms as far as the measured amplitudes agree, phases these better than the map was phased, and the
next reading finds more. No sequence is needed and no coordinate is refined.
"""

from edseg_engine.improvement.expected import ReadResidues
from edseg_engine.improvement.improve import best_reading, require_crystal

__all__ = ["ReadResidues", "best_reading", "require_crystal"]
