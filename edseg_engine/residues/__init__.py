"""From voxels to residues: instances, their features, classes and composition."""
