"""From the density of a region to the network's predictions for each voxel."""
