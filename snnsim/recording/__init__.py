"""HDF5: spike and voltage traces, checkpoints and provenance; the only package that imports h5py."""
