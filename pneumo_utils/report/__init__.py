"""Reports as one HTML page each that opens anywhere, without a network."""
