"""The crystal: density on its grid, symmetry, regions and the placing of copies."""
