"""Alert receivers: pure payload functions."""
