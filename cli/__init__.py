"""The command line of snnsim: one file a command, heavy imports only inside the command that needs them."""
