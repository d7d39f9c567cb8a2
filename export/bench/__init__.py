"""How long a batch takes in each graph and engine, side by side on this machine."""
