"""Where photos are: how many in which place, copies from one place to another, and objects compared with `images`."""
