"""The labelled rows of each replicate at one size."""
