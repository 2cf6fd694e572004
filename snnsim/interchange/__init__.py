"""Files of others: NIR networks, Neo, NWB, the SHD layout of event data sets, CSV."""
