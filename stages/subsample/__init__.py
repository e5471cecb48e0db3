"""The labelled rows of each replicate at each size."""
