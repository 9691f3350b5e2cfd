"""The commands of `vinops`, a file each."""
