"""Every sign, axis order and scale factor: coordinates, forward model, probes, scales, stitching."""
