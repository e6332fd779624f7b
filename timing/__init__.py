"""Time: tag batches, clock models, synchronisation from photons, and the virtual event loop."""
