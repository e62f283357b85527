"""The pure core: what to do next for one canary, given everything that was seen. No I/O lives here."""
