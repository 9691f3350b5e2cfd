"""What the page /ops and the notes on stale prices show: one snapshot, read in the background, and its checks."""
