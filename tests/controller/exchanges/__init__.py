"""What tools for annotation send, written by hand from their documentation and source: no server was asked."""
