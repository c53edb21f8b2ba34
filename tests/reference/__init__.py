"""The references of the commands and of the interface, made from the code: `make docs` writes them."""
