"""What the feed keeps on disk: the archive of files, and the state that the next file is compared with."""
