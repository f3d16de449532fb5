"""Files to records: maps, reflections, coordinates, sequences."""
