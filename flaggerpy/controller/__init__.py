"""The shell around the core: observe, decide, check, execute, announce."""
