"""One module per outside system; each implements a port and knows no other adapter."""
