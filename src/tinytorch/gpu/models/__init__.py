"""Pure functions of addresses, masks, sizes: what a GPU does with them."""
