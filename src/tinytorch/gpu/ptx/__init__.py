"""PTX, read and run: a parser and a SIMT emulator."""
