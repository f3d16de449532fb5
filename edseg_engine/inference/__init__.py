"""From the density of a region to the network's word on each voxel."""
