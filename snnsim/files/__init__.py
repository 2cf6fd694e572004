"""Files, whoever wrote them: safe reading of HDF5 and text, atomic writing. Nothing here knows what the files mean."""
