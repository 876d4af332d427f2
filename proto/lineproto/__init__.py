"""What line-based text protocols share: framing in, stuffing out, replies, the connection loop."""
